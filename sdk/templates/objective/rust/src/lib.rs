//! my_plugin: the depth of a network, the number of convolutions and linear layers on its longest path.
//!
//! before() is for what the graph alone tells; candidates over a limit are then refused untrained. An objective that is
//! measured returns `None` there and has after() instead, which is given the evaluation's metrics, and says so in its
//! manifest: no "objective.before" in `provides`, and "metric.<name>" in `requires`.

mod abi;
mod boundary;
mod json;
mod objective;
mod rng;

use std::collections::HashMap;

use boundary::{Context, Failure};
use json::Json;
use objective::{component, Direction, Objective};

struct MyPlugin;

impl Objective for MyPlugin {
    fn new(_: &Context) -> Result<MyPlugin, Failure> {
        Ok(MyPlugin)
    }

    fn direction(&self) -> Direction {
        Direction::Minimize
    }

    fn before(&self, candidate: &Json) -> Result<Option<f64>, Failure> {
        let depth = candidate.member("architecture").and_then(depth_of);
        let unusable = || Failure::invalid("this is no candidate: it has no graph whose nodes come in order");
        depth.map(|depth| Some(f64::from(depth))).ok_or_else(unusable)
    }
}

fn depth_of(architecture: &Json) -> Option<u32> {
    let mut depths: HashMap<&str, u32> = HashMap::new();
    for node in architecture.member("nodes")?.items()? {
        let mut deepest = 0;
        for input in node.member("inputs")?.items()? {
            deepest = deepest.max(*depths.get(input.text()?)?);
        }
        let has_weights = matches!(node.member("operation")?.text()?, "conv2d" | "linear");
        depths.insert(node.member("name")?.text()?, deepest + u32::from(has_weights));
    }
    depths.get(architecture.member("output")?.text()?).copied()
}

export!(component::<MyPlugin>("my_plugin\0"));

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(candidate: &str) -> Option<f64> {
        Json::parse(candidate).and_then(|candidate| MyPlugin.before(&candidate).ok().flatten())
    }

    #[test]
    fn counts_the_longest_path_of_a_network_worked_out_by_hand() {
        // Two convolutions and the classifier on the longer way, one and the classifier on the shorter.
        let network = r#"{"recipe": {}, "architecture": {"architecture": 1, "output": "classes", "nodes": [
            {"name": "input", "operation": "input", "inputs": [], "attributes": {"shape": [3, 8, 8]}},
            {"name": "stem", "operation": "conv2d", "inputs": ["input"]},
            {"name": "longer", "operation": "conv2d", "inputs": ["stem"]},
            {"name": "sum", "operation": "add", "inputs": ["stem", "longer"]},
            {"name": "pool", "operation": "global_avg_pool", "inputs": ["sum"]},
            {"name": "classes", "operation": "linear", "inputs": ["pool"]}]}}"#;
        assert_eq!(value_of(network), Some(3.0));
    }

    #[test]
    fn what_is_no_candidate_is_refused() {
        assert_eq!(value_of("{}"), None);
        assert_eq!(value_of(r#"{"architecture": {"nodes": [], "output": "x"}}"#), None);
    }
}
