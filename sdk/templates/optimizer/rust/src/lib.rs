//! my_plugin: draws architectures at random, and with some probability mutates the best one so far instead.
//!
//! ask() proposes, tell() learns how a trial ended. All randomness comes from the context's stream, so that a study can
//! be resumed: the same results in the same order give the same proposals.

mod abi;
mod boundary;
mod json;
mod optimizer;
mod rng;

use abi::{weft_rng, WEFT_COMPLETE};
use boundary::{Context, Failure};
use optimizer::{component, Genotype, Optimizer, Space, TrialResult};

struct MyPlugin {
    space: Box<dyn Space>,
    rng: weft_rng,
    mutation_probability: f64,
    best: Option<(Genotype, f64)>,
}

impl Optimizer for MyPlugin {
    fn new(context: &Context, space: Box<dyn Space>) -> Result<MyPlugin, Failure> {
        let mutation_probability = context.number("mutation_probability")?;
        Ok(MyPlugin { space, rng: context.rng(), mutation_probability, best: None })
    }

    fn ask(&mut self, capacity: u64) -> Result<Vec<Genotype>, Failure> {
        (0..capacity)
            .map(|_| match &self.best {
                Some((best, _)) if self.rng.bernoulli(self.mutation_probability) => {
                    self.space.mutate(best, &mut self.rng)
                }
                _ => self.space.sample(&mut self.rng),
            })
            .collect()
    }

    fn tell(&mut self, result: TrialResult) {
        if result.state != WEFT_COMPLETE {
            return; // failed and pruned trials are told, too
        }
        if self.best.as_ref().map_or(true, |(_, reward)| result.reward > *reward) {
            self.best = Some((result.genotype, result.reward));
        }
    }
}

export!(component::<MyPlugin>("my_plugin\0"));

#[cfg(test)]
mod tests {
    use super::*;
    use abi::WEFT_FAIL;

    /// A single decision: sampling takes option 1, mutation adds 100 to it.
    struct OneDecision;

    impl Space for OneDecision {
        fn sample(&self, _: &mut weft_rng) -> Result<Genotype, Failure> {
            Ok(of(1))
        }

        fn mutate(&self, parent: &Genotype, _: &mut weft_rng) -> Result<Genotype, Failure> {
            Ok(of(parent.decisions[0] + 100))
        }
    }

    fn of(option: i32) -> Genotype {
        Genotype { decisions: vec![option], ..Genotype::default() }
    }

    #[test]
    fn mutates_the_best_of_what_it_was_told() {
        let rng = weft_rng { key: 1, stream: 0, counter: 0 };
        let mut optimizer = MyPlugin { space: Box::new(OneDecision), rng, mutation_probability: 0.5, best: None };
        assert_eq!(optimizer.ask(50).unwrap(), vec![of(1); 50]);
        for (option, state, reward) in
            [(3, WEFT_COMPLETE, 0.2), (7, WEFT_COMPLETE, 0.9), (5, WEFT_COMPLETE, 0.5), (9, WEFT_FAIL, 0.0)]
        {
            optimizer.tell(TrialResult { state, genotype: of(option), reward });
        }
        let proposals = optimizer.ask(1000).unwrap();
        let mutations = proposals.iter().filter(|&proposal| *proposal == of(107)).count();
        assert_eq!(mutations + proposals.iter().filter(|&proposal| *proposal == of(1)).count(), 1000);
        assert!((420..580).contains(&mutations)); // five standard deviations
        assert!(optimizer.ask(0).unwrap().is_empty());
    }
}
