// ProxylessNAS: binary gates, latencies and rewards by hand, what a step leaves alone, and the contract of strategies.

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "plugins/oneshot/proxyless/binarized.hpp"
#include "tests/torch/one_shot.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;
using namespace proxyless;

namespace {

Plugin plugin() { return Plugin::open("oneshot", "proxyless"); }

Json short_gates(const Json& more = Json::object()) {
  Json args = short_search({{"weights_epochs", 1}, {"weight_steps", 1}, {"structure_lr", 0.05}});
  args.update(more);
  return args;
}

OneShotResult search(const SmallStudy& study, const Json& args) {
  oneshot_contract::Listener listener;
  return oneshot_contract::search(plugin(), args, study.surroundings(), listener, nullptr);
}

// The derivatives of `value` in the numbers, by central differences.
Numbers differences(Numbers at, const std::function<double(const Numbers&)>& value) {
  Numbers found;
  for (double& number : at) {
    const double before = number, h = 1e-5;
    number = before + h;
    const double above = value(at);
    number = before - h;
    found.push_back((above - value(at)) / (2 * h));
    number = before;
  }
  return found;
}

double mean_of(const Numbers& probabilities, const Numbers& of_options) {
  return std::inner_product(probabilities.begin(), probabilities.end(), of_options.begin(), 0.0);
}

// A guide on a training of random images, with the space and its latencies.
struct Training {
  SmallStudy study;
  Network network{study.space().supernet(), Rng(3)};
  Split split;
  Recipe recipe = steady_recipe(3, 10);
  Batches structure;
  Latency latency = regressed(study.space().supernet(), {.per_multiply_add = 1e-4});

  Training()
      : split{at::randint(0, 256, {60, 1, 8, 8}, seeded(), at::kByte).contiguous(at::MemoryFormat::ChannelsLast),
              at::randint(0, 4, {60}, seeded(), at::kLong)},
        structure(split, {{0.5}, {0.3}}) {}

  void run(Guide& guide) { train(network, {split, {}, {{0.5}, {0.3}}}, recipe, Rng(5), {.guide = &guide}); }

 private:
  static at::Generator seeded() { return at::detail::createCPUGenerator(7); }
};

// Sees what the structure's steps do to its parameters, and that they do nothing to the weights.
class Seen final : public Binarized {
 public:
  using Binarized::Binarized;
  void begin(const Updates& rule) override { weights_ = &rule; }
  void after_step(const Step& step) override {
    const at::Tensor before = state().at("parameters").clone();
    const at::Tensor weights = weights_->state().at("parameters").clone(),
                     momentum = weights_->state().at("momentum").clone();
    Binarized::after_step(step);
    steps.emplace_back(step.epoch, std::vector{before, state().at("parameters").clone()});
    CHECK(at::equal(weights, weights_->state().at("parameters")));
    CHECK(at::equal(momentum, weights_->state().at("momentum")));
  }
  std::vector<std::pair<int, std::vector<at::Tensor>>> steps;  // by epoch: before and after

 private:
  const Updates* weights_ = nullptr;
};

// 3 options of which the last is a zero; the loss is linear in their outputs.
Architecture linear_supernet() {
  ArchitectureBuilder graph;
  const NodeId x = graph.input(Shape::image(2, 4, 4));
  const auto conv = [&](std::int64_t kernel) {
    return graph.add("conv2d", {{"channels", 2}, {"kernel", kernel}, {"padding", kernel / 2}}, {x});
  };
  return std::move(graph).build(graph.add("choice", {{"decision", "layer"}, {"options", {"a", "b", "none"}}},
                                          {conv(1), conv(3), graph.add("zero", {}, {x})}));
}

}  // namespace

// Eq. 4 for all paths; of two, with q = p_i / (p_i + p_j), q_i q_j (dL/dg_i - dL/dg_j), of which the mean is that over
// pairs: {i, j} comes with probability p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j).
TEST_CASE("proxyless: the mean of the gates' gradients on a linear loss is the closed form") {
  const Numbers logits = {0.5, -0.4, 1.1, 0.0}, by_gate = {0.3, -1.0, 2.0, 0.7};
  const Numbers p = softmax(logits);
  const Numbers exact = differences(logits, [&](const Numbers& alpha) { return mean_of(softmax(alpha), by_gate); });
  const Numbers all = structure_gradient(p, by_gate);
  for (std::size_t i = 0; i < 4; ++i) CHECK(all[i] == Approx(exact[i]).margin(1e-9));

  Numbers expected(4), second(4);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      if (i == j) continue;
      const double drawn = p[i] * p[j] / (1.0 - p[i]) + p[j] * p[i] / (1.0 - p[j]);
      const double of_pair = p[i] * p[j] / ((p[i] + p[j]) * (p[i] + p[j])) * (by_gate[i] - by_gate[j]);
      expected[i] += drawn * of_pair;
      second[i] += drawn * of_pair * of_pair;
    }
  }
  constexpr int draws = 20000;
  Numbers mean(4), open(4);
  Rng rng(8);
  for (int draw = 0; draw < draws; ++draw) {
    const BinaryGates gates = draw_gates(logits, 2, rng);
    REQUIRE((gates.paths.size() == 2 && gates.paths[0] < gates.paths[1]));
    const Numbers gradient = structure_gradient(gates.probabilities, at_paths(by_gate, gates.paths));
    for (std::size_t path = 0; path < 2; ++path)
      mean[static_cast<std::size_t>(gates.paths[path])] += gradient[path] / draws;
    open[static_cast<std::size_t>(gates.paths[gates.open])] += 1.0 / draws;
  }
  for (std::size_t i = 0; i < 4; ++i) {
    INFO("option " << i << " of mean " << mean[i] << ", expected " << expected[i]);
    CHECK(std::abs(mean[i] - expected[i]) < 3.5 * std::sqrt((second[i] - expected[i] * expected[i]) / draws));
    CHECK(expected[i] * exact[i] > 0.0);
  }
  // Of two options there is but one pair; of all, the gates are open as often as the options are probable.
  const BinaryGates both = draw_gates({0.2, 0.9}, 2, rng);
  CHECK(both.probabilities == softmax({0.2, 0.9}));
  Numbers frequency(4);
  for (int draw = 0; draw < draws; ++draw) {
    const BinaryGates gates = draw_gates(logits, 9, rng);
    frequency[gates.open] += 1.0 / draws;
  }
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(std::abs(frequency[i] - p[i]) < 3.5 * std::sqrt(p[i] * (1.0 - p[i]) / draws));
  // Nothing is so improbable that there are no two.
  CHECK(draw_gates({0.0, -2000.0, -3000.0}, 2, rng).paths.size() == 2);
}

TEST_CASE("proxyless: after a step the paths share the probability they had, and others keep theirs") {
  const Numbers before = {0.5, -0.4, 1.1, 0.0};
  const std::vector<int> paths = {0, 2};
  Numbers after = before;
  const Numbers moved = with_equal_sum(at_paths(before, paths), {0.9, 0.2});
  CHECK(moved[0] - moved[1] == Approx(0.7));
  for (std::size_t i = 0; i < 2; ++i) after[static_cast<std::size_t>(paths[i])] = moved[i];
  const Numbers p = softmax(before), q = softmax(after);
  CHECK(q[1] == Approx(p[1]).epsilon(1e-14));
  CHECK(q[3] == Approx(p[3]).epsilon(1e-14));
  CHECK(q[0] + q[2] == Approx(p[0] + p[2]).epsilon(1e-14));
  CHECK(q[0] / q[2] == Approx(std::exp(0.7)));
}

TEST_CASE("proxyless: a gate's gradient is the loss of its path in the direction of the output") {
  Network network(linear_supernet(), Rng(3));
  network.to(at::kDouble);
  at::manual_seed(5);
  const at::Tensor images = at::randn({6, 2, 4, 4}, at::kDouble), direction = at::randn({6, 2, 4, 4}, at::kDouble);
  const auto loss = [&](const Gate& gate) {
    network.choose({{"layer", gate}});
    return (network.forward(images).logits * direction).sum();
  };
  const WeightsHeld held(network);
  for (const std::vector<int>& paths : std::vector<std::vector<int>>{{0, 1}, {0, 2}, {1, 2}}) {
    for (const std::size_t open : {0, 1}) {
      const at::Tensor value = at::zeros({2}, at::kDouble);
      value[static_cast<std::int64_t>(open)] = 1.0;
      value.set_requires_grad(true);
      const at::Tensor descended = loss({paths, value});
      descended.backward();
      CHECK(descended.item<double>() == Approx(loss({{paths[open]}}).item<double>()).margin(1e-12));
      for (const std::size_t path : {0, 1})
        CHECK(value.grad()[static_cast<std::int64_t>(path)].item<double>() ==
              Approx(loss({{paths[path]}}).item<double>()).margin(1e-12));
    }
  }
}

TEST_CASE("proxyless: expected latencies and their gradient, by hand") {
  // A depthwise bottleneck beside a skip, on 8 channels of 4 x 4.
  const SmallStudy study("proxyless", {{"stages", {{{"filters", 8}, {"layers", 2}, {"stride", 1}}}},
                                       {"stem_filters", 4},
                                       {"stem_stride", 2},
                                       {"first_filters", 4},
                                       {"head_filters", 4},
                                       {"kernels", {3, 5}},
                                       {"expansions", {2}}});
  const Architecture supernet = study.space().supernet();
  const Latency latency = regressed(supernet, {.base = 10, .per_multiply_add = 0.5, .per_parameter = 2});
  const auto mbconv = [](std::int64_t in, std::int64_t kernel) {
    const std::int64_t width = 2 * in, weights = in * width + kernel * kernel * width + width * 8;
    return 10.0 + 0.5 * static_cast<double>(16 * weights) + 2.0 * static_cast<double>(weights + 4 * width + 16);
  };
  REQUIRE(latency.options.size() == 2);
  CHECK(latency.options[0] == Numbers{mbconv(4, 3), mbconv(4, 5)});
  CHECK(latency.options[1] == Numbers{mbconv(8, 3), mbconv(8, 5), 0.0});
  // Stem 3 x 3 and its bottleneck, head, classifier.
  const double around = 0.5 * (16 * (36 + 36 + 16 + 32) + 16) + 2.0 * (36 + 8 + 36 + 8 + 16 + 8 + 32 + 8 + 20);
  CHECK(latency.fixed == Approx(around));
  CHECK(latency.of({{1}, {2}}) == Approx(around + mbconv(4, 5)));
  CHECK(latency.smallest() == Approx(around + mbconv(4, 3)));
  const std::vector<Numbers> p = {{0.25, 0.75}, {0.5, 0.2, 0.3}};
  CHECK(latency.expected(p) ==
        Approx(around + 0.25 * mbconv(4, 3) + 0.75 * mbconv(4, 5) + 0.5 * mbconv(8, 3) + 0.2 * mbconv(8, 5)));
  // dE/dalpha_i = p_i (F_i - sum_j p_j F_j).
  const double mean = 0.5 * mbconv(8, 3) + 0.2 * mbconv(8, 5);
  const Numbers gradient = structure_gradient(p[1], latency.options[1]);
  CHECK(gradient[0] == Approx(0.5 * (mbconv(8, 3) - mean)));
  CHECK(gradient[2] == Approx(-0.3 * mean));
}

TEST_CASE("proxyless: forms of the loss and of the reward, and the loss's slopes") {
  using Form = LatencyLoss::Form;
  CHECK(LatencyLoss{Form::none}.value(2.0, 50.0) == 2.0);
  CHECK(LatencyLoss{Form::additive, 0.1}.value(2.0, 50.0) == Approx(7.0));
  CHECK(LatencyLoss{Form::additive, 0.1, 80}.value(2.0, 60.0) == Approx(2.0 - 0.1 * 20 / 80));
  CHECK(LatencyLoss{Form::logarithmic, 0.2, 80, 0.3}.value(2.0, 60.0) ==
        Approx(0.2 * 2.0 * std::pow(std::log(60.0) / std::log(80.0), 0.3)));
  for (const LatencyLoss& loss : {LatencyLoss{Form::none}, LatencyLoss{Form::additive, 0.1},
                                  LatencyLoss{Form::additive, 0.1, 80}, LatencyLoss{Form::logarithmic, 0.2, 80, 0.3}}) {
    const Numbers exact = differences({2.0, 60.0}, [&](const Numbers& at) { return loss.value(at[0], at[1]); });
    CHECK(loss.slopes(2.0, 60.0).cross_entropy == Approx(exact[0]).margin(1e-8));
    CHECK(loss.slopes(2.0, 60.0).expected == Approx(exact[1]).margin(1e-8));
  }
  CHECK(latency_reward(0.9, 40, 80, -0.1) == Approx(0.9 * std::pow(2.0, 0.1)));
  CHECK(latency_reward(0.9, 40, 0, 0) == 0.9);
}

// Two decisions whose reward is no sum: the estimate's expectation over all six architectures, whatever the baseline,
// is the gradient of the expected reward.
TEST_CASE("proxyless: REINFORCE's mean over all architectures is the gradient of the expected reward") {
  const Numbers first = {0.3, -0.2}, second = {0.1, 0.8, -0.5};
  const auto reward = [](std::size_t i, std::size_t j) {
    return latency_reward(0.5 + 0.1 * static_cast<double>(i * j), 20.0 + static_cast<double>(10 * i + j), 30, -0.2);
  };
  const auto expected = [&](const Numbers& alpha) {
    const Numbers p = softmax({alpha[0], alpha[1]}), q = softmax({alpha[2], alpha[3], alpha[4]});
    double sum = 0.0;
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t j = 0; j < 3; ++j) sum += p[i] * q[j] * reward(i, j);
    }
    return sum;
  };
  const Numbers exact = differences({first[0], first[1], second[0], second[1], second[2]}, expected);
  const Numbers p = softmax(first), q = softmax(second);
  for (const double baseline : {0.0, 0.6}) {
    Numbers mean(5);
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t j = 0; j < 3; ++j) {
        const Numbers of_first = reinforce_gradient(p, static_cast<int>(i), reward(i, j) - baseline);
        const Numbers of_second = reinforce_gradient(q, static_cast<int>(j), reward(i, j) - baseline);
        for (std::size_t k = 0; k < 2; ++k) mean[k] += p[i] * q[j] * of_first[k];
        for (std::size_t k = 0; k < 3; ++k) mean[2 + k] += p[i] * q[j] * of_second[k];
      }
    }
    for (std::size_t k = 0; k < 5; ++k) CHECK(mean[k] == Approx(exact[k]).margin(1e-9));
  }
}

TEST_CASE("proxyless: latencies of a table, by what an operation reads and makes") {
  const SmallStudy study("proxyless", {{"stages", {{{"filters", 4}, {"layers", 2}, {"stride", 2}}}},
                                       {"stem_stride", 1},
                                       {"stem_filters", 4},
                                       {"first_filters", 4},
                                       {"head_filters", 4},
                                       {"kernels", {3}},
                                       {"expansions", {2, 3}}});
  const Architecture supernet = study.space().supernet();
  const auto row = [](const char* option, std::int64_t extent, double latency) {
    return Json{{"option", option}, {"input", {4, extent, extent}}, {"output", {4, 4, 4}}, {"latency", latency}};
  };
  Json table = {{"fixed", 3.5},
                {"rows",
                 {row("mbconv2_3x3", 8, 1.5), row("mbconv3_3x3", 8, 2.0), row("mbconv2_3x3", 4, 0.5),
                  row("mbconv3_3x3", 4, 0.75), row("mbconv6_3x3", 4, 9.0)}}};
  const Latency latency = LatencyTable(table, "t.json").of(supernet);
  CHECK(latency.fixed == 3.5);
  CHECK(latency.options == std::vector<Numbers>{{1.5, 2.0}, {0.5, 0.75, 0.0}});

  const oneshot_contract::Folder folder;
  const std::string file = (folder.path() / "latencies.json").string();
  const auto with = [&](const Json& json) {
    std::ofstream(file) << (json.is_string() ? json.get<std::string>() : json.dump());
    return Instance(plugin(), short_gates({{"latency_table", file}}), study.surroundings());
  };
  CHECK_NOTHROW(with(table));
  table.at("rows").erase(3);
  CHECK_THROWS_WITH(with(table),
                    ContainsSubstring("there is no row of \"mbconv3_3x3\" that makes 4 x 4 x 4 of 4 x 4 x 4") &&
                        ContainsSubstring("stage 1/layer 2"));
  table.at("rows").push_back(row("mbconv3_3x3", 4, -1.0));
  CHECK_THROWS_WITH(with(table), ContainsSubstring("latencies.json") && ContainsSubstring("\"latency\" is -1.0"));
  table.at("rows").back() = table.at("rows").front();
  CHECK_THROWS_WITH(with(table), ContainsSubstring("there are two rows of \"mbconv2_3x3\""));
  CHECK_THROWS_WITH(with("no JSON"), ContainsSubstring("it is no JSON"));
}

TEST_CASE("proxyless: a step of the structure moves two options of each decision, and the first epochs none") {
  Training training;
  Seen guide(training.study.space(), training.network, training.structure, training.recipe, training.latency,
             {.weights_epochs = 1, .weight_steps = 2, .lr = 0.1}, Rng(4));
  training.run(guide);
  REQUIRE(guide.steps.size() == 18);
  int steps = 0, moved = 0;
  for (std::size_t i = 0; i < guide.steps.size(); ++i) {
    const std::vector<at::Tensor>& parameters = guide.steps[i].second;
    if (guide.steps[i].first == 1 || i % 2 == 0) {
      CHECK(at::equal(parameters[0], parameters[1]));  // to the bit
      continue;
    }
    ++steps;
    for (std::int64_t decision = 0; decision < 6; ++decision) {
      const at::Tensor before = parameters[0].narrow(0, 5 * decision, 5),
                       after = parameters[1].narrow(0, 5 * decision, 5);
      const at::Tensor same = before.eq(after);  // to the bit
      CHECK(same.sum().item<std::int64_t>() >= 3);
      moved += 5 - static_cast<int>(same.sum().item<std::int64_t>());
      const at::Tensor p = at::softmax(before, 0), q = at::softmax(after, 0);
      CHECK((p - q).masked_select(same).abs().max().item<double>() < 1e-7);
    }
  }
  CHECK(steps == 6);
  CHECK(moved > 6 * 6);
}

TEST_CASE("proxyless: what is not on the path that was drawn keeps weights and momentum to the bit") {
  Training training;
  Watched<Binarized> guide(training.network, training.study.space(), training.network, training.structure,
                           training.recipe, training.latency, Options{.lr = 0.1}, Rng(4));
  training.run(guide);
  CHECK(guide.changed == 0);
  CHECK(guide.moved > 18 * 10);
  CHECK(guide.remembered > 18);
}

TEST_CASE("proxyless: where latency is all that counts, what is derived has none to spare") {
  const SmallStudy study;
  const auto latency = [&](const Json& args) {
    return search(study, short_gates(args)).derived.front().metrics.at("latency").get<double>();
  };
  const Json expensive = {
      {"epochs", 8}, {"latency_target", 0}, {"latency_per_multiply_add", 1e-3}, {"structure_lr", 0.2}};
  Json gates = expensive, rewards = expensive;
  gates.update({{"latency_weight", 1000}});
  rewards.update({{"update", "reinforce"}, {"latency_target", 1}, {"reward_exponent", -1}, {"samples", 20}});
  const double free = regressed(study.space().supernet(), {.per_multiply_add = 1e-3}).fixed;
  const double untouched = latency({{"latency_loss", "none"}, {"latency_per_multiply_add", 1e-3}, {"structure_lr", 0}});
  REQUIRE(untouched > 1.5 * free);
  CHECK(latency(gates) == Approx(free));
  CHECK(latency(rewards) < 0.5 * (free + untouched));
}

TEST_CASE("proxyless: what does not fit together is refused") {
  const SmallStudy study;
  const auto opened = [&](const Json& args) { Instance(plugin(), short_gates(args), study.surroundings()); };
  CHECK_THROWS_WITH(opened({{"weights_epochs", 3}}),
                    ContainsSubstring("/weights_epochs is 3; must be below epochs, 3"));
  CHECK_THROWS_WITH(opened({{"latency_loss", "logarithmic"}, {"latency_target", 1}}),
                    ContainsSubstring("/latency_target is 1.0; must be above 1"));
  CHECK_THROWS_WITH(
      opened({{"latency_loss", "logarithmic"}}),
      ContainsSubstring("the smallest latency of an architecture is") && ContainsSubstring("must be above 1"));
  CHECK_THROWS_WITH(opened({{"update", "reinforce"}, {"latency_target", 0}}),
                    ContainsSubstring("/latency_target is 0.0; must be above 0"));
  CHECK_THROWS_WITH(opened({{"latency_table", "nowhere.json"}}), ContainsSubstring("nowhere.json"));
}

TEST_CASE("proxyless keeps the contract of one-shot strategies") {
  const SmallStudy study;
  check_oneshot(plugin(), short_gates(), study.surroundings());
  check_oneshot(
      plugin(),
      short_gates(
          {{"paths", 3}, {"zeros_learn", false}, {"latency_loss", "logarithmic"}, {"latency_per_multiply_add", 1}}),
      study.surroundings());
  check_oneshot(plugin(), short_gates({{"update", "reinforce"}, {"samples", 3}}), study.surroundings());
}
