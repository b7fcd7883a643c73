#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "plugins/optimizer/eas/controller.hpp"
#include "plugins/optimizer/eas/layers.hpp"
#include "tests/catch.hpp"
#include "weft/blocks.hpp"
#include "weft/tensors.hpp"
#include "weft/testing/optimizer_contract.hpp"

using namespace weft;
using namespace weft::testing;
using eas::Deepening;
using eas::Layer;
using eas::Widening;
using optimizer_contract::result_of;

namespace {

Plugin plugin() { return Plugin::open("optimizer", "eas"); }

const Json study = {{"task", {{"input", {1, 8, 8}}, {"classes", 3}}}};

// Chains of a few filters.
Json space_args(const Json& more = Json::object()) {
  Json args = {
      {"start", "C(2,3) P(2) C(2,3) FC(4)"}, {"morphs", {"widen", "deepen", "deepen_linear"}}, {"max_channels", 8}};
  args.update(more);
  return args;
}

Json fast(const Json& more = Json::object()) {
  Json args = {{"stages", {100000}}, {"filters", {2, 4, 6, 8}}, {"features", {4, 6, 8}}, {"wider_steps", 2},
               {"deeper_steps", 2},  {"children", 4},           {"embedding", 4},        {"units", 8}};
  args.update(more);
  return args;
}

class Bench {
 public:
  explicit Bench(const Json& args, const Json& space_arguments = space_args(), const Json& more = Json::object(),
                 std::uint64_t seed = 1)
      : space_instance_(Plugin::open("space", "graph"), space_arguments, {.study = study}),
        instance_(plugin(), args,
                  {.study = merged(more), .rng = Rng(seed), .collaborators = {{"space", space_instance_.handle()}}}),
        space(space_instance_.handle()),
        optimizer(instance_.handle()) {}

  Proposal ask() { return optimizer.ask(1).at(0); }
  TrialId tell(const Proposal& proposal, double reward, TrialState state = TrialState::complete) {
    return tell(told_, proposal, reward, state);
  }
  TrialId tell(TrialId trial, const Proposal& proposal, double reward, TrialState state = TrialState::complete) {
    TrialResult result = result_of(trial, proposal, state);
    result.reward = reward;
    optimizer.tell(result);
    told_ = trial + 1;
    return trial;
  }
  std::vector<Layer> layers(const Proposal& proposal) const {
    return eas::layers(space.decode(proposal.genotype).architecture);
  }
  // "conv-2-3 pool conv-2-3 ..": the network as the controller reads it.
  std::string network(const Proposal& proposal) const {
    std::string text;
    for (const std::string& token : eas::tokens(layers(proposal))) text += (text.empty() ? "" : " ") + token;
    return text;
  }

 private:
  static Json merged(const Json& more) {
    Json all = study;
    all.update(more);
    return all;
  }
  Instance space_instance_;
  Instance instance_;
  TrialId told_ = 0;

 public:
  SpaceRef space;
  OptimizerRef optimizer;
};

const std::vector<std::string> some_tokens = {"conv-16-3", "pool", "conv-32-3", "conv-32-5", "pool", "fc-64"};

eas::Controller small_controller(double lr = 0.01) {
  return eas::Controller({.embedding = 3, .units = 4, .blocks = 4, .block_layers = 3, .kernels = 2, .lr = lr}, Rng(7));
}

// Of some_tokens, and one block at the end that has none.
const std::vector<std::vector<bool>> some_blocks = {{true}, {true, true}, {false}, {}};

}  // namespace

// ---- reading networks ----------------------------------------------------------------------------------------------

TEST_CASE("eas reads a chain as layers, and where each of them ends") {
  ArchitectureBuilder graph;
  NodeId x = graph.input(Shape::image(3, 8, 8));
  x = blocks::conv_bn_relu(graph, x, blocks::Convolution::square(16, 3));
  x = graph.add("dropout", {{"probability", 0.2}}, {x}, "drop");
  x = graph.add("conv2d", {{"channels", 8}, {"kernel", {1, 3}}, {"padding", {0, 1}}}, {x}, "flat");
  x = graph.add("max_pool", {{"kernel", 2}, {"stride", 2}}, {x}, "pool");
  x = graph.add("flatten", {}, {x});
  x = graph.add("linear", {{"features", 64}}, {x}, "fc");
  x = graph.add("activation", {{"function", "relu"}}, {x}, "relu");
  x = graph.add("linear", {{"features", 10}}, {x}, "classifier");
  const Architecture chain = std::move(graph).build(x);
  const std::vector<Layer> layers = eas::layers(chain);
  CHECK(eas::tokens(layers) == std::vector<std::string>{"conv-16-3", "conv-8-1x3", "pool", "fc-64"});
  CHECK(layers[0].node == "conv2d");
  CHECK(layers[0].end == "drop");
  CHECK(layers[1].end == "flat");
  CHECK(layers[3].end == "relu");
  CHECK(layers[3].width == 64);
  CHECK(eas::blocks(layers) == std::vector<std::vector<std::size_t>>{{0, 1}, {3}});
}

TEST_CASE("eas refuses networks that are no chains of layers it can change") {
  const auto refused = [](const std::function<NodeId(ArchitectureBuilder&, NodeId)>& build) {
    ArchitectureBuilder graph;
    const NodeId last = build(graph, graph.input(Shape::image(4, 8, 8)));
    return std::move(graph).build(blocks::classifier(graph, last, 3));
  };
  const Architecture sum = refused([](ArchitectureBuilder& graph, NodeId x) {
    return graph.add("add", {}, {x, blocks::conv_bn_relu(graph, x, blocks::Convolution::square(4, 3))}, "sum");
  });
  CHECK_THROWS_WITH(eas::layers(sum), ContainsSubstring("node sum (add) does not read the node before it alone"));
  const Architecture separable =
      refused([](ArchitectureBuilder& graph, NodeId x) { return blocks::separable_conv(graph, x, 4, 3); });
  CHECK_THROWS_WITH(eas::layers(separable), ContainsSubstring("has groups; eas reads chains"));
  const Architecture shifted =
      refused([](ArchitectureBuilder& graph, NodeId x) { return graph.add("shift", {}, {x}); });
  CHECK_THROWS_WITH(eas::layers(shifted), ContainsSubstring("node shift (shift) is no layer"));
}

// ---- the controller ------------------------------------------------------------------------------------------------

TEST_CASE("eas: the gradient of both actors is that of finite differences") {
  eas::Controller controller = small_controller();
  Rng rng(3);
  std::vector<eas::Step> steps;
  steps.emplace_back(controller.widen(some_tokens, {true, false, true, true, false, true}, rng));
  while (steps.size() < 5) steps.emplace_back(controller.deepen(some_tokens, some_blocks, rng));
  for (const eas::Step& step : steps) {
    constexpr double advantage = 0.7, entropy_weight = 0.3;
    const auto objective = [&] {
      const eas::Evaluation evaluation = controller.evaluate(step);
      return advantage * evaluation.log_probability + entropy_weight * evaluation.entropy;
    };
    std::vector<double>& values = controller.parameters().values();
    std::fill(controller.parameters().gradient().begin(), controller.parameters().gradient().end(), 0.0);
    controller.accumulate(step, advantage, entropy_weight);
    const std::vector<double> gradient = controller.parameters().gradient();
    double worst = 0.0, largest = 0.0;
    for (std::size_t p = 0; p < gradient.size(); ++p) {
      const double before = values[p];
      values[p] = before + 1e-5;
      const double above = objective();
      values[p] = before - 1e-5;
      const double below = objective();
      values[p] = before;
      worst = std::max(worst, std::abs((above - below) / 2e-5 - gradient[p]));
      largest = std::max(largest, std::abs(gradient[p]));
    }
    CHECK(worst < 1e-8);
    CHECK(largest > 0.05);
  }
}

TEST_CASE("eas: the deeper actor's probabilities of what is possible add up to 1") {
  eas::Controller controller = small_controller();
  Rng rng(5);
  std::map<std::vector<std::size_t>, double> likely, drawn;
  constexpr int draws = 5000;
  for (int i = 0; i < draws; ++i) {
    const Deepening step = controller.deepen(some_tokens, some_blocks, rng);
    REQUIRE(step.block() < 3);
    REQUIRE(step.layer() < some_blocks[step.block()].size());
    REQUIRE(step.taken.size() == (step.block() == 2 ? 2 : 3));  // no kernel behind the linear layer
    if (!drawn.contains(step.taken)) likely[step.taken] = std::exp(controller.evaluate(step).log_probability);
    drawn[step.taken] += 1.0 / draws;
  }
  CHECK(likely.size() == 2 + 4 + 1);
  double sum = 0.0;
  for (const auto& [taken, probability] : likely) {
    sum += probability;
    CHECK(drawn[taken] == Approx(probability).margin(4.0 * std::sqrt(probability / draws)));
  }
  CHECK(sum == Approx(1.0));
}

TEST_CASE("eas: the wider actor's probabilities are those it samples with, and what cannot be wider never is") {
  eas::Controller controller = small_controller();
  const std::vector<bool> possible = {true, false, false, true, false, true};
  Rng rng(5);
  std::map<std::vector<bool>, double> likely, drawn;
  constexpr int draws = 5000;
  for (int i = 0; i < draws; ++i) {
    const Widening step = controller.widen(some_tokens, possible, rng);
    for (std::size_t layer = 0; layer < possible.size(); ++layer) REQUIRE((possible[layer] || !step.taken[layer]));
    if (!drawn.contains(step.taken)) likely[step.taken] = std::exp(controller.evaluate(step).log_probability);
    drawn[step.taken] += 1.0 / draws;
  }
  REQUIRE(likely.size() == 8);
  double sum = 0.0;
  for (const auto& [taken, probability] : likely) {
    sum += probability;
    CHECK(drawn[taken] == Approx(probability).margin(4.0 * std::sqrt(probability / draws)));
  }
  CHECK(sum == Approx(1.0));
}

TEST_CASE("eas: the encoder reads in both directions, and the deeper actor begins in its state") {
  eas::Controller controller = small_controller();
  Rng rng(5);
  const std::vector<bool> possible = {false, false, true, false, false, false};
  const Widening middle = controller.widen(some_tokens, possible, rng);
  const Deepening deeper = controller.deepen(some_tokens, some_blocks, rng);
  for (const std::size_t other : {std::size_t{0}, some_tokens.size() - 1}) {
    std::vector<std::string> tokens = some_tokens;
    tokens[other] = "conv-32-3";
    Widening widening = middle;
    widening.tokens = tokens;
    CHECK(controller.evaluate(widening).log_probability != controller.evaluate(middle).log_probability);
    Deepening deepening = deeper;
    deepening.tokens = tokens;
    CHECK(controller.evaluate(deepening).log_probability != controller.evaluate(deeper).log_probability);
  }
}

// ---- the search ----------------------------------------------------------------------------------------------------

TEST_CASE("eas keeps the contract of optimizers") {
  check_optimizer(plugin(), fast({{"stages", {30, 1000}}, {"restart_epochs", 3}, {"reward", "identity"}}),
                  {.space = Plugin::open("space", "graph"),
                   .space_args = space_args(),
                   .study = study,
                   .trials = 60,
                   .decoded = 20,
                   .long_study = 1000,
                   .improves = false,  // the suite's reward is noise where there are no decisions
                   .failing_studies = 0});
}

TEST_CASE("eas trains the first network, and lets all others inherit its weights") {
  Bench bench(fast({{"start_epochs", 7}}));
  const std::vector<Proposal> first = bench.optimizer.ask(5);
  REQUIRE(first.size() == 1);
  CHECK(first[0].genotype == bench.space.parse("start"));
  CHECK(first[0].transfer.is_null());
  CHECK_FALSE(first[0].parent.has_value());
  CHECK(first[0].fidelity.epochs == 7);
  CHECK(bench.optimizer.retain() == std::vector<TrialId>());
  CHECK(bench.optimizer.ask(5).empty());  // whose weights would they inherit?
  bench.tell(3, first[0], 50.0);
  CHECK(bench.optimizer.retain() == std::vector<TrialId>{3});

  const std::vector<Proposal> children = bench.optimizer.ask(9);
  REQUIRE(children.size() == 4);
  const Architecture parent = bench.space.decode(first[0].genotype).architecture;
  for (const Proposal& child : children) {
    CHECK(child.parent == TrialId{3});
    CHECK_FALSE(child.fidelity.epochs.has_value());
    const WeightTransfer transfer = WeightTransfer::from_json(child.transfer);
    CHECK_NOTHROW(check_transfer(parent, bench.space.decode(child.genotype).architecture, transfer));
    CHECK(bench.layers(child).size() == 5 + 2);  // conv pool conv pool fc, and two insertions
    const auto deepened = std::count_if(transfer.steps.begin(), transfer.steps.end(),
                                        [](const auto& step) { return step.morph.starts_with("deepen"); });
    CHECK(deepened == 2);
  }
}

TEST_CASE("eas widens to the next of its lists, and inserts as wide as what is before") {
  Bench bench(fast({{"filters", {3, 7}}, {"features", {6}}, {"kernels", {5}}, {"wider_steps", 5}}));
  bench.tell(bench.ask(), 50.0);
  std::set<std::string> met;
  for (int batch = 0; batch < 20; ++batch) {
    for (const Proposal& child : bench.optimizer.ask(4)) {
      std::optional<Layer> before;
      for (const Layer& layer : bench.layers(child)) {
        met.insert(layer.token);
        const bool inserted = layer.node == "conv2d 1" || layer.node == "conv2d 2" || layer.node == "linear 1";
        if (inserted && before) CHECK(layer.width == before->width);
        before = layer;
      }
      bench.tell(child, 50.0);
    }
  }
  // 2, 3 and 7 filters, 4 and 6 units; the kernels of the first network, 3, and of what is inserted, 5.
  CHECK(met == std::set<std::string>{"conv-2-3", "conv-3-3", "conv-7-3", "conv-2-5", "conv-3-5", "conv-7-5", "fc-4",
                                     "fc-6", "pool"});
}

TEST_CASE("eas learns which layers to widen and where to insert") {
  // Accuracies of networks whose linear layers are many and wide, and whose convolutions stay few and narrow.
  const auto accuracy = [](const std::vector<Layer>& layers) {
    double accuracy = 60.0;
    for (const Layer& layer : layers) {
      if (layer.kind == Layer::Kind::linear) accuracy += static_cast<double>(layer.width);
      if (layer.kind == Layer::Kind::convolution) accuracy -= static_cast<double>(layer.width);
    }
    return accuracy;
  };
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Bench bench(fast({{"lr", 0.02}, {"children", 8}}), space_args(), Json::object(), seed);
    bench.tell(bench.ask(), 60.0);
    double first = 0.0, last = 0.0;
    constexpr int batches = 50;
    for (int batch = 0; batch < batches; ++batch) {
      double mean = 0.0;
      for (const Proposal& child : bench.optimizer.ask(8)) {
        const double reward = accuracy(bench.layers(child));
        mean += reward / 8;
        bench.tell(child, reward);
      }
      if (batch < 5) first += mean / 5;
      if (batch >= batches - 5) last += mean / 5;
    }
    INFO("accuracy " << first << " in the beginning, " << last << " in the end");
    CHECK(last > first + 10.0);
    CHECK(last > 74.0);  // the best: two linear layers more of 8 each, 60 + 3 * 8 - 2 * 2 = 80
  }
}

TEST_CASE("eas begins a stage with the best network of the one before, trained on or not") {
  const bool trained_on = GENERATE(false, true);
  Bench bench(fast({{"stages", {6, 4}}, {"restart_epochs", trained_on ? Json(11) : Json(nullptr)}}));
  bench.tell(bench.ask(), 99.0);  // its reward does not count
  std::vector<Proposal> children = bench.optimizer.ask(9);
  REQUIRE(children.size() == 4);
  for (const int child : {2, 0, 3, 1})
    bench.tell(10 + child, children[static_cast<std::size_t>(child)], 50.0 + child % 3);
  CHECK(bench.optimizer.retain() == std::vector<TrialId>{0, 12});
  std::vector<Proposal> rest = bench.optimizer.ask(9);
  REQUIRE(rest.size() == 2);      // six in all
  bench.tell(20, rest[0], 52.0);  // not better than trial 12, which came first
  bench.tell(21, rest[1], 51.0);
  const Proposal best = children[2];
  TrialId parent = 12;
  CHECK(bench.optimizer.retain() == std::vector<TrialId>{parent});
  if (trained_on) {
    const std::vector<Proposal> again = bench.optimizer.ask(9);
    REQUIRE(again.size() == 1);
    CHECK(again[0].genotype == best.genotype);
    CHECK(again[0].parent == TrialId{12});
    CHECK(again[0].transfer == WeightTransfer().to_json());
    CHECK(again[0].fidelity.epochs == 11);
    CHECK(bench.optimizer.ask(9).empty());
    bench.tell(30, again[0], 60.0, TrialState::fail);
    const Proposal once_more = bench.ask();
    CHECK(once_more.parent == TrialId{12});
    parent = bench.tell(31, once_more, 60.0);
  }
  const std::vector<Proposal> last = bench.optimizer.ask(9);
  REQUIRE(last.size() == 4);
  for (const Proposal& child : last) {
    CHECK(child.parent == parent);
    CHECK(bench.layers(child).size() == bench.layers(best).size() + 2);
  }
  CHECK_FALSE(bench.optimizer.finished());
  for (const Proposal& child : last) bench.tell(40, child, 50.0, TrialState::fail);
  CHECK(bench.optimizer.finished());
  CHECK(bench.optimizer.ask(9).empty());
}

TEST_CASE("eas proposes the same whatever the order of results and the number of trials at once") {
  const auto search = [](std::size_t at_once, bool backwards) {
    Bench bench(fast({{"stages", {10, 10}}, {"lr", 0.5}}));
    std::vector<std::string> networks;
    TrialId trial = 0;
    while (!bench.optimizer.finished()) {
      std::vector<std::pair<TrialId, Proposal>> running;
      for (Proposal& proposal : bench.optimizer.ask(at_once)) {
        networks.push_back(proposal.genotype.key() + " of " + std::to_string(proposal.parent.value_or(-1)));
        running.emplace_back(trial++, std::move(proposal));
      }
      if (backwards) std::reverse(running.begin(), running.end());
      for (const auto& [id, proposal] : running) bench.tell(id, proposal, 50.0 + static_cast<double>(id % 4));
    }
    return networks;
  };
  const std::vector<std::string> networks = search(1, false);
  CHECK(networks.size() == 21);
  CHECK(search(3, true) == networks);
  CHECK(search(100, true) == networks);
}

TEST_CASE("eas asks for the first network until it has weights to inherit") {
  Bench bench(fast());
  for (int i = 0; i < 3; ++i) {
    const Proposal first = bench.ask();
    CHECK_FALSE(first.parent.has_value());
    CHECK(bench.optimizer.ask(1).empty());
    bench.tell(first, 0.0, TrialState::fail);
  }
  bench.tell(7, bench.ask(), 50.0);
  CHECK(bench.ask().parent == TrialId{7});
}

TEST_CASE("eas avoids what fails, or leaves it out") {
  // The share of failures in the end, where every network with another linear layer fails: more than half at first.
  const auto share_of_failures = [](const Json& failure_reward) {
    Bench bench(fast({{"lr", 0.02}, {"failure_reward", failure_reward}}));
    bench.tell(bench.ask(), 50.0);
    int failures = 0;
    for (int trial = 0; trial < 240; ++trial) {
      const Proposal child = bench.ask();
      const std::vector<Layer> layers = bench.layers(child);
      const bool fails = std::count_if(layers.begin(), layers.end(),
                                       [](const Layer& layer) { return layer.kind == Layer::Kind::linear; }) > 1;
      bench.tell(child, 50.0, fails ? TrialState::fail : TrialState::complete);
      failures += fails && trial >= 200 ? 1 : 0;
    }
    return failures / 40.0;
  };
  CHECK(share_of_failures(0.0) < 0.15);
  CHECK(share_of_failures(nullptr) > 0.25);
}

TEST_CASE("eas without inheritance makes the same networks, and retains none") {
  Bench with(fast({{"stages", {6, 4}}}));
  Bench without(fast({{"stages", {6, 4}}, {"inherit_weights", false}}));
  while (!with.optimizer.finished()) {
    const Proposal child = with.ask(), alone = without.ask();
    CHECK(alone.genotype == child.genotype);
    CHECK_FALSE(alone.parent.has_value());
    CHECK(alone.transfer.is_null());
    CHECK_FALSE(without.optimizer.retain().has_value());
    with.tell(child, 50.0);
    without.tell(alone, 50.0);
  }
}

TEST_CASE("eas refuses what would end a search in its midst, before it begins") {
  const auto refused = [](const Json& args, const char* why, const Json& space = Json::object(),
                          const Json& more = Json::object()) {
    CHECK_THROWS_WITH(Bench(fast(args), space_args(space), more), ContainsSubstring(why));
  };
  refused({{"filters", {2, 4, 4}}}, "/filters/2 is 4; must be more than the one before it, 4");
  refused({{"kernels", {3, 4}}}, "/kernels holds 4; must be odd");
  refused({{"embedding", 9}}, "/embedding is 9; must not exceed units, 8");
  refused({{"wider_steps", 0}, {"deeper_steps", 0}}, "one of them must be more");
  refused({{"children", 9}}, "with the first network that must be less than the budget's trials, 10", Json::object(),
          {{"budget", {{"trials", 10}}}});
  refused({{"filters", {2, 16}}}, "/filters: the first network cannot be changed by");
  refused({{"filters", {2, 16}}}, "/max_channels is 8");
  refused(Json::object(), "/deeper_steps: the first network cannot be changed by", {{"morphs", {"widen", "deepen"}}});
  refused(Json::object(), "/start: the first network: it has no convolution", {{"start", ""}});
  refused({{"start", "C(2,"}}, "/start: ");
  refused(Json::object(), "for shares to be maximised", Json::object(),
          {{"objectives", Json::array({{{"name", "perplexity"}, {"direction", "minimize"}}})}});
}
