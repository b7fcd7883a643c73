#include "weft/torch/training.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <optional>

#include "tests/catch.hpp"
#include "tests/torch/card.hpp"
#include "weft/blocks.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/sanitizers.hpp"
#include "weft/torch/splits.hpp"
#include "weft/torch/updates.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::Recipe;
using weft::TrainingResult;
using weft::Verdict;

// The defaults of the evaluator `train`, without augmentation, and `changes`.
Recipe recipe(const Json& changes) {
  const weft::testing::Plugin plugin = weft::testing::Plugin::open("evaluator", "train");
  Json json = plugin.configuration({{"crop_padding", 0}, {"flip", false}, {"gradient_clip", 0}, {"weight_decay", 0}});
  for (const char* name :
       {"use_validation", "data_fraction", "best_of_last", "measure_training", "restarts", "restart_lr_factor"})
    json.erase(name);  // the evaluator's own
  json.merge_patch(changes);
  return Recipe::from_json(json, weft::testing::ingredients());
}

weft::TrainingData waves(const Json& changes) {
  Json args = {{"resolution", 8}, {"channels", 1}, {"train", 600}, {"validation", 300}, {"noise", 0.1}};
  for (const auto& [name, value] : changes.items()) args[name] = value;
  const weft::testing::Instance made(weft::testing::Plugin::open("dataset", "synthetic"), args);
  const weft::Dataset& data = weft::testing::dataset_contract::dataset_of(made);
  return {data.train(), data.validation(), {data.mean(), data.standard_deviation()}};
}

// Two convolutions with batch norm; between them, if asked, a path that may be dropped, and dropout.
weft::Architecture small_network(bool random_layers) {
  weft::ArchitectureBuilder builder;
  weft::NodeId at = builder.input(weft::Shape::image(1, 8, 8));
  const auto layer = [&](weft::NodeId from, int channels, int stride) {
    const auto convolution =
        builder.add("conv2d", {{"channels", channels}, {"kernel", 3}, {"padding", 1}, {"stride", stride}}, {from});
    return builder.add("activation", {}, {builder.add("batch_norm", {}, {convolution})});
  };
  at = layer(at, 8, 1);
  if (random_layers) {
    at = builder.add("add", {}, {at, builder.add("drop_path", {}, {layer(at, 8, 1)})});
    at = builder.add("dropout", {{"probability", 0.2}}, {at});
  }
  at = builder.add("global_avg_pool", {}, {layer(at, 16, 2)});
  at = builder.add("linear", {{"features", 4}}, {at});
  return std::move(builder).build(at);
}

// A learned group convolution that condenses in three steps, and an auxiliary classifier of what it gives.
weft::Architecture condensing_network() {
  weft::ArchitectureBuilder builder;
  const auto input = builder.input(weft::Shape::image(1, 8, 8));
  const auto wide = builder.add("conv2d", {{"channels", 8}, {"kernel", 3}, {"padding", 1}}, {input});
  const auto active = builder.add("activation", {}, {builder.add("batch_norm", {}, {wide})});
  const auto learned = builder.add("learned_group_conv", {{"channels", 8}, {"groups", 2}}, {active}, "learned");
  const auto classifier = [&](weft::NodeId from, const char* name) {
    return builder.add("linear", {{"features", 4}}, {builder.add("global_avg_pool", {}, {from})}, name);
  };
  const auto side = classifier(learned, "side");
  const auto narrow = builder.add("conv2d", {{"channels", 8}, {"kernel", 3}, {"stride", 2}}, {learned});
  const auto norm = builder.add("batch_norm", {}, {narrow});
  const auto output = classifier(builder.add("activation", {}, {norm}), "head");
  return std::move(builder).build(output, side);
}

// Two convolutions of 3 pixels, one beside the other; as many parameters however they lie.
weft::Architecture striped_network(bool upright, const char* name = "stripe") {
  weft::ArchitectureBuilder builder;
  const auto input = builder.input(weft::Shape::image(1, 8, 8));
  const Json kernel = upright ? Json{3, 1} : Json{1, 3};
  const auto stripe = builder.add("conv2d", {{"channels", 4}, {"kernel", kernel}}, {input}, name);
  const auto pooled = builder.add("global_avg_pool", {}, {builder.add("batch_norm", {}, {stripe}, "norm")});
  return std::move(builder).build(builder.add("linear", {{"features", 4}}, {pooled}));
}

// Each example becomes an image with so many pixels around it.
weft::Architecture enlarging(std::int64_t padding) {
  weft::ArchitectureBuilder builder;
  const auto input = builder.input(weft::Shape::image(1, 8, 8));
  const auto large = builder.add("pad", {{"padding", {padding, padding, padding, padding}}}, {input});
  const auto pooled = builder.add("global_avg_pool", {}, {large});
  return std::move(builder).build(builder.add("linear", {{"features", 4}}, {pooled}));
}

bool same_weights(const weft::Network& one, const weft::Network& other) {
  const auto first = one.state(), second = other.state();
  for (const auto& [name, tensor] : first) {
    if (!tensor.equal(second.at(name))) return false;
  }
  return first.size() == second.size();
}

Json without_seconds(const TrainingResult& result) {
  Json curve = Json::array();
  for (const auto& epoch : result.curve) curve.push_back(epoch.to_json());
  for (Json& epoch : curve) epoch.erase("seconds");
  return curve;
}

struct TemporaryFolder {
  fs::path path = fs::temp_directory_path() / ("weft_training_test_" + std::to_string(getpid()));
  TemporaryFolder() { fs::create_directories(path); }
  ~TemporaryFolder() { fs::remove_all(path); }
};

// h' = tanh(W x + U h), read out at every position.
weft::Architecture small_language_model(std::int64_t positions) {
  weft::ArchitectureBuilder cell;
  const auto x = cell.add("input", {{"shape", {4}}}, {}, "x"), h = cell.add("input", {{"shape", {4}}}, {}, "h");
  const auto sum =
      cell.add("add", {}, {cell.add("linear", {{"features", 4}}, {x}), cell.add("linear", {{"features", 4}}, {h})});
  const Json json = std::move(cell).build(cell.add("activation", {{"function", "tanh"}}, {sum})).to_json();
  weft::ArchitectureBuilder graph;
  auto at =
      graph.add("embedding", {{"vocabulary", 5}, {"features", 4}}, {graph.input(weft::Shape::sequence(positions, 1))});
  at = graph.add("recurrent", {{"cell", json}}, {at});
  return std::move(graph).build(graph.add("linear", {{"features", 5}}, {at}));
}

at::Tensor tokens(std::int64_t count) {
  at::manual_seed(3);
  return at::randint(5, {count}, at::kLong);
}

template <typename Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const weft::Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a small network learns what a linear classifier cannot", "[card]") {
  at::set_num_threads(1);
  const auto device = cpu_or_card();
  if (!device) return;
  Json changes = {{"epochs", 12}, {"batch_size", 30}, {"lr", 0.05}, {"crop_padding", 1}, {"flip", true}, {"cutout", 2}};
  if (device->is_cuda()) changes["mixed_precision"] = GENERATE(as<std::string>{}, "off", "bf16");
  weft::Network network(small_network(false), weft::Rng(1));
  network.to(*device);
  const TrainingResult result = weft::train(network, waves({}), recipe(changes), weft::Rng(1), {.device = *device});
  REQUIRE(result.curve.size() == 12);
  CHECK(result.curve.back().validation->accuracy > 80.0);  // chance: 25
  CHECK(result.curve.back().train.loss < result.curve.front().train.loss);
}

TEST_CASE("learning rate schedules, worked out by hand") {
  const Recipe cosine = recipe({{"epochs", 10}, {"lr", 0.1}, {"lr_min", 0.02}});
  CHECK(cosine.learning_rate(0.0) == Approx(0.1));
  CHECK(cosine.learning_rate(2.5) == Approx(0.02 + 0.08 * (1.0 + std::sqrt(0.5)) / 2.0));
  CHECK(cosine.learning_rate(5.0) == Approx(0.06));
  CHECK(cosine.learning_rate(10.0) == Approx(0.02));
  const Recipe warm = recipe({{"epochs", 10}, {"lr", 0.1}, {"warmup_epochs", 2}});
  CHECK(warm.learning_rate(0.5) == Approx(0.025));
  CHECK(warm.learning_rate(2.0) == Approx(0.1));
  CHECK(warm.learning_rate(6.0) == Approx(0.05));
  const Recipe step =
      recipe({{"epochs", 10}, {"lr", 0.1}, {"schedule", "step"}, {"milestones", {3, 6}}, {"gamma", 0.1}});
  CHECK(step.learning_rate(2.9) == Approx(0.1));
  CHECK(step.learning_rate(3.0) == Approx(0.01));
  CHECK(step.learning_rate(6.0) == Approx(0.001));
  // 15 = 1 + 2 + 4 + 8 epochs (Wistuba 2018).
  const Recipe restarts =
      recipe({{"epochs", 15}, {"lr", 0.05}, {"schedule", "sgdr"}, {"restart_epochs", 1}, {"restart_factor", 2}});
  for (const double begin : {0.0, 1.0, 3.0, 7.0}) CHECK(restarts.learning_rate(begin) == Approx(0.05));
  for (const double middle : {0.5, 2.0, 5.0, 11.0}) CHECK(restarts.learning_rate(middle) == Approx(0.025));
  CHECK(restarts.learning_rate(14.999999) < 1e-12);
  // A training that goes on from a shorter one has the course of the longest.
  const Recipe rung = recipe({{"epochs", 3}, {"schedule_epochs", 9}, {"lr", 0.1}, {"drop_path", 0.3}});
  CHECK(rung.learning_rate(3.0) == Approx(0.1 * (1.0 + 0.5) / 2.0));  // cos(pi / 3) = 1/2
  CHECK(rung.learning_rate(12.0) == Approx(0.0).margin(1e-12));
  CHECK(rung.drop_path_at(4) == Approx(0.1));
  const Recipe dropping = recipe({{"epochs", 4}, {"drop_path", 0.2}});
  CHECK(dropping.drop_path_at(1) == 0.0);
  CHECK(dropping.drop_path_at(3) == Approx(0.1));
}

TEST_CASE("a recipe says what is wrong with it") {
  CHECK(message_of([] { recipe({{"lr", -1}}); }) == "/lr is -1; must be at least 0.0");
  CHECK(message_of([] { recipe({{"batch_size", 1.5}}); }) == "/batch_size is 1.5; must be an integer");
  CHECK_THAT(message_of([] { recipe({{"update_rule", "lamb"}}); }), ContainsSubstring("lamb"));
  CHECK(message_of([] {
          recipe({{"learning_rate", 1}});
        }).starts_with("/learning_rate is not a member of a training recipe"));
  CHECK(message_of([] { recipe({{"lr", nullptr}}); }) == "the training recipe lacks /lr");
}

namespace {

// Notes what it is told of every step, and does nothing.
class Noting final : public weft::UpdateRule {
 public:
  explicit Noting(std::vector<weft::Pace>& seen) : seen_(seen) {}
  void step(const Step& step) const override { seen_.push_back({step.lr, step.progress, step.momentum}); }
  std::string formula() const override { return "0"; }

 private:
  std::vector<weft::Pace>& seen_;
};

}  // namespace

TEST_CASE("a rule is told the rate, the progress and the wanted momentum of every step of a training") {
  const Json cycle = {{"rise", 0.5}, {"shape", "linear"}, {"start_factor", 4}, {"momentum_range", {0.5, 0.9}}};
  Recipe told =
      recipe({{"epochs", 2}, {"batch_size", 10}, {"lr", 0.4}, {"schedule", {{"name", "one_cycle"}, {"args", cycle}}}});
  std::vector<weft::Pace> seen;
  told.update_rule = std::make_shared<Noting>(seen);
  weft::Network network(small_network(false), weft::Rng(1));
  weft::train(network, waves({{"train", 60}, {"validation", 40}}), told, weft::Rng(1));
  REQUIRE(seen.size() == 4);  // 20 examples in an epoch
  const double rates[] = {0.1, 0.25, 0.4, 0.2}, momenta[] = {0.9, 0.7, 0.5, 0.7};
  for (std::size_t i = 0; i < 4; ++i) {
    INFO("step " << i);
    CHECK(seen[i].progress == Approx(static_cast<double>(i) / 4.0));
    CHECK(seen[i].lr == Approx(rates[i]).epsilon(1e-3));
    REQUIRE(seen[i].momentum);
    CHECK(*seen[i].momentum == Approx(momenta[i]));
  }
}

TEST_CASE("the update rules are LibTorch's") {
  // A channels-last weight among them: its elements must stay where they are.
  const auto parameters = [] {
    at::manual_seed(1);
    return std::vector<at::Tensor>{at::randn({4, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_(),
                                   at::randn({5}).requires_grad_()};
  };
  const auto loss = [](const std::vector<at::Tensor>& p) {
    return p[0].pow(3).sum() + (p[0][0][0].sum() * p[1]).sin().sum();
  };
  const auto compare = [&](const Json& changes, auto&& make_optimizer) {
    std::vector<at::Tensor> ours = parameters(), theirs = parameters();
    auto optimizer = make_optimizer(theirs);
    weft::Updates rule(ours, recipe(changes));
    for (int i = 0; i < 5; ++i) {
      optimizer.zero_grad();
      loss(theirs).backward();
      optimizer.step();
      rule.zero_grad();
      loss(ours).backward();
      rule.step(0.01);
    }
    for (std::size_t i = 0; i < ours.size(); ++i) CHECK(ours[i].allclose(theirs[i], 1e-6, 1e-7));
  };
  const Json decay = {{"weight_decay", 0.1}};
  for (const bool nesterov : {false, true}) {
    Json changes = decay;
    changes["nesterov"] = nesterov;
    compare(changes, [&](auto p) {
      return torch::optim::SGD(p, torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(0.1).nesterov(nesterov));
    });
  }
  compare({{"update_rule", "adam"}, {"weight_decay", 0.1}},
          [](auto p) { return torch::optim::Adam(p, torch::optim::AdamOptions(0.01).weight_decay(0.1)); });
}

// Of a network of which each step computes a part, as LibTorch has it where a gradient is undefined.
TEST_CASE("what took no part in a step is neither decayed nor moved") {
  for (const char* rule_name : {"sgd", "adam"}) {
    INFO(rule_name);
    const auto parameters = [] {
      at::manual_seed(2);
      std::vector<at::Tensor> made;
      for (int i = 0; i < 4; ++i) made.push_back(at::randn({3 + i}).requires_grad_());
      return made;
    };
    std::vector<at::Tensor> ours = parameters(), theirs = parameters();
    std::unique_ptr<torch::optim::Optimizer> optimizer;
    if (std::string_view(rule_name) == "sgd")
      optimizer =
          std::make_unique<torch::optim::SGD>(theirs, torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(0.1));
    else
      optimizer = std::make_unique<torch::optim::Adam>(theirs, torch::optim::AdamOptions(0.01).weight_decay(0.1));
    weft::Updates rule(ours, recipe({{"update_rule", rule_name}, {"weight_decay", 0.1}, {"nesterov", false}}),
                       weft::Updates::Parts::some);
    const std::vector<std::vector<bool>> parts = {
        {true, false, true, true}, {false, false, true, false}, {true, true, true, true}, {false, true, false, true}};
    for (const std::vector<bool>& part : parts) {
      const auto loss = [&](const std::vector<at::Tensor>& p) {
        at::Tensor sum = at::zeros({});
        for (std::size_t i = 0; i < p.size(); ++i) {
          if (part[i]) sum = sum + p[i].pow(3).sum();
        }
        return sum;
      };
      std::vector<at::Tensor> before;
      for (const auto& [name, tensor] : rule.state()) before.push_back(tensor.clone());
      const std::vector<at::Tensor> values = {ours[0].detach().clone(), ours[1].detach().clone(),
                                              ours[2].detach().clone(), ours[3].detach().clone()};
      for (at::Tensor& parameter : theirs) parameter.mutable_grad() = at::Tensor();
      loss(theirs).backward();
      optimizer->step();
      rule.zero_grad();
      loss(ours).backward();
      rule.step(0.01, part);
      for (std::size_t i = 0; i < ours.size(); ++i) {
        CHECK(ours[i].allclose(theirs[i], 1e-6, 1e-7));
        CHECK(ours[i].equal(values[i]) == !part[i]);
      }
      std::int64_t first = 0;
      for (std::size_t i = 0; i < ours.size(); ++i) {
        std::size_t at = 0;
        for (const auto& [name, tensor] : rule.state()) {  // moments and momentum
          const at::Tensor old = before[at++];
          if (name != "steps" && !part[i])
            CHECK(tensor.narrow(0, first, 3 + static_cast<std::int64_t>(i))
                      .equal(old.narrow(0, first, 3 + static_cast<std::int64_t>(i))));
        }
        first += ours[i].numel();
      }
    }
  }
}

TEST_CASE("gradients are clipped by their common norm, and parameters own their memory afterwards") {
  at::Tensor a = at::full({1}, 1.0F).requires_grad_(), b = at::full({1}, 1.0F).requires_grad_();
  {
    weft::Updates rule({a, b}, recipe({{"gradient_clip", 5}, {"momentum", 0}}));
    (30 * a + 40 * b).sum().backward();  // norm 50: a tenth of it is left
    rule.step(0.1);
    rule.zero_grad();
    (0.3 * a + 0.4 * b).sum().backward();  // norm 0.5: as it is
    rule.step(1.0);
  }
  CHECK(a.item<float>() == Approx(1.0 - 0.1 * 3.0 - 0.3));
  CHECK(b.item<float>() == Approx(1.0 - 0.1 * 4.0 - 0.4));
  CHECK(b.storage().nbytes() == sizeof(float));
  CHECK_FALSE(b.grad().defined());
}

TEST_CASE("label smoothing, worked out by hand") {
  weft::ArchitectureBuilder builder;
  const auto flat = builder.add("flatten", {}, {builder.input(weft::Shape::image(1, 1, 1))});
  const auto head = builder.add("linear", {{"features", 2}}, {flat}, "head");
  const auto architecture = std::move(builder).build(head);
  weft::Network network(architecture, weft::Rng(1));
  {
    const at::NoGradGuard no_grad;
    network.state().at("head.weight").zero_();
    network.state().at("head.bias").copy_(at::tensor({0.0, std::log(3.0)}));  // probabilities 1/4 and 3/4
  }
  const weft::Split split{at::zeros({300, 1, 1, 1}, at::kByte), at::ones({300}, at::kLong)};
  const TrainingResult result = weft::train(network, {split, split, {{0.0}, {1.0}}},
                                            recipe({{"epochs", 1}, {"lr", 0}, {"label_smoothing", 0.2}}), weft::Rng(1));
  const double right = -std::log(0.75), wrong = -std::log(0.25);
  CHECK(result.curve[0].train.loss == Approx(0.8 * right + 0.2 * (right + wrong) / 2.0));
  CHECK(result.curve[0].validation->loss == Approx(right));  // 300 examples: more than one batch
  CHECK(result.curve[0].validation->accuracy == 100.0);
}

// One step of plain gradient descent from probabilities 1/4 and 3/4, and 1/10 and 9/10 of the auxiliary classifier.
TEST_CASE("the auxiliary loss is added with its weight, worked out by hand") {
  weft::ArchitectureBuilder builder;
  const auto flat = builder.add("flatten", {}, {builder.input(weft::Shape::image(1, 1, 1))});
  const auto head = builder.add("linear", {{"features", 2}}, {flat}, "head");
  const auto side = builder.add("linear", {{"features", 2}}, {flat}, "side");
  weft::Network network(std::move(builder).build(head, side), weft::Rng(1));
  {
    const at::NoGradGuard no_grad;
    network.state().at("head.bias").copy_(at::tensor({0.0, std::log(3.0)}));
    network.state().at("side.bias").copy_(at::tensor({0.0, std::log(9.0)}));
  }
  const weft::Split split{at::zeros({20, 1, 1, 1}, at::kByte), at::ones({20}, at::kLong)};
  const double weight = 0.4, lr = 0.5;
  const TrainingResult result = weft::train(network, {split, split, {{0.0}, {1.0}}},
                                            recipe({{"epochs", 1},
                                                    {"batch_size", 20},
                                                    {"lr", lr},
                                                    {"schedule", "constant"},
                                                    {"momentum", 0},
                                                    {"nesterov", false},
                                                    {"auxiliary_weight", weight}}),
                                            weft::Rng(1));
  CHECK(result.curve[0].train.loss == Approx(-std::log(0.75) - weight * std::log(0.9)));
  const auto moved = [&](const char* name, double from, double by) {
    CHECK(network.state().at(name)[0].item<double>() == Approx(-by));
    CHECK(network.state().at(name)[1].item<double>() == Approx(from + by));
  };
  moved("head.bias", std::log(3.0), lr * 0.25);
  moved("side.bias", std::log(9.0), lr * weight * 0.1);
  // It is of no more use afterwards.
  const double wrong = std::exp(-2.0 * lr * 0.25) / 3.0;
  CHECK(result.curve[0].validation->loss == Approx(std::log(1.0 + wrong)));
}

// What is summed over P positions has P times the gradient: so much less must lr be, and so much more is cut off.
TEST_CASE("texts: of losses that are summed over positions, lr and gradient_clip mean what Zaremba et al. 2014 say") {
  constexpr std::int64_t positions = 6, streams = 4;
  weft::TextData data{tokens(1 + streams * positions * 10), {}, positions};
  const auto trained = [&](bool sum, double lr, double clip) {
    data.sum_over_positions = sum;
    weft::Network network(small_language_model(positions), weft::Rng(1));
    const TrainingResult result = weft::train(network, data,
                                              recipe({{"epochs", 3},
                                                      {"batch_size", streams},
                                                      {"lr", lr},
                                                      {"gradient_clip", clip},
                                                      {"momentum", 0},
                                                      {"nesterov", false},
                                                      {"schedule", "constant"}}),
                                              weft::Rng(1));
    return std::pair(network.state(), result.curve.back().train.loss);
  };
  const auto [summed, loss] = trained(true, 0.1, 3.0);
  const auto [mean, loss_of_mean] = trained(false, 0.1 * positions, 3.0 / positions);
  const auto [other, other_loss] = trained(false, 0.1, 3.0);
  CHECK(loss == Approx(loss_of_mean));  // what is reported is a mean
  bool differs = false;
  for (const auto& [name, tensor] : summed) {
    INFO(name);
    CHECK(tensor.allclose(mean.at(name), 1e-4, 1e-6));
    differs = differs || !tensor.allclose(other.at(name), 1e-2, 1e-3);
  }
  CHECK(differs);
}

TEST_CASE("texts are measured as one stream with a carried state, or side by side from cold starts") {
  constexpr std::int64_t positions = 5;
  const at::Tensor text = tokens(1001);
  weft::Network network(small_language_model(positions), weft::Rng(1));
  // By hand: each stream in one piece.
  const auto by_hand = [&](std::int64_t streams) {
    const at::NoGradGuard no_grad;
    const std::int64_t length = 1000 / streams;
    const at::Tensor inputs = text.narrow(0, 0, streams * length).view({streams, length, 1});
    const at::Tensor labels = text.narrow(0, 1, streams * length);
    const at::Tensor logits = network.forward(inputs).logits.flatten(0, 1);
    return at::cross_entropy_loss(logits, labels).item<double>();
  };
  weft::TextData data{text, text, positions};
  CHECK(data.reading == weft::TextReading::stream);
  CHECK(weft::evaluate(network, text, data, c10::kCPU, 3).loss == Approx(by_hand(1)).epsilon(1e-6));
  data.reading = weft::TextReading::batched;
  const double batched = weft::evaluate(network, text, data, c10::kCPU, 2).loss;
  CHECK(batched == Approx(by_hand(8)).epsilon(1e-6));  // four times a batch of 2
  CHECK(std::abs(batched - by_hand(1)) > 1e-5);
}

TEST_CASE("an interrupted and resumed training ends bit for bit as one that was not", "[card]") {
  at::set_num_threads(1);
  at::globalContext().setDeterministicCuDNN(true);
  const auto device = cpu_or_card();
  if (!device) return;
  const std::string update_rule = GENERATE(as<std::string>{}, "sgd", "adam");
  const weft::TrainingData data = waves({{"train", 200}, {"validation", 80}});
  const Recipe varied = recipe({{"epochs", 4},
                                {"batch_size", 32},
                                {"update_rule", update_rule},
                                {"drop_path", 0.3},
                                {"crop_padding", 1},
                                {"flip", true},
                                {"cutout", 2},
                                {"gradient_clip", 1},
                                {"weight_decay", 1e-3},
                                {"lr", 0.01}});
  weft::Network whole(small_network(true), weft::Rng(1));
  whole.to(*device);
  const TrainingResult expected = weft::train(whole, data, varied, weft::Rng(9), {.device = *device});

  const TemporaryFolder folder;
  weft::Network interrupted(small_network(true), weft::Rng(1));
  interrupted.to(*device);
  const auto pause = [](const Json& report) { return report.at("epoch") == 2 ? Verdict::pause : Verdict::go_on; };
  const TrainingResult half =
      weft::train(interrupted, data, varied, weft::Rng(9), {.folder = folder.path, .report = pause, .device = *device});
  CHECK(half.state == weft::TrialState::paused);
  REQUIRE(half.curve.size() == 2);
  CHECK_FALSE(same_weights(whole, interrupted));

  at::manual_seed(12345);                                     // as another process would have left it
  weft::Network resumed(small_network(true), weft::Rng(77));  // its weights come from the checkpoint
  resumed.to(*device);
  std::vector<int> reported;
  const auto note = [&](const Json& report) {
    reported.push_back(report.at("epoch"));
    return Verdict::go_on;
  };
  const TrainingResult result =
      weft::train(resumed, data, varied, weft::Rng(9), {.folder = folder.path, .report = note, .device = *device});
  CHECK(result.state == weft::TrialState::complete);
  CHECK(reported == std::vector<int>{3, 4});
  CHECK(without_seconds(result) == without_seconds(expected));
  CHECK(same_weights(whole, resumed));

  // The random layers and the seed do matter, else the above would show nothing.
  weft::Network other(small_network(true), weft::Rng(1));
  other.to(*device);
  weft::train(other, data, varied, weft::Rng(10), {.device = *device});
  CHECK_FALSE(same_weights(whole, other));
}

// Paused before, between and after the steps in which the groups condense.
TEST_CASE("learned groups, an auxiliary classifier and bf16 go on from a checkpoint as if it had not been", "[card]") {
  at::set_num_threads(1);
  at::globalContext().setDeterministicCuDNN(true);
  const auto device = cpu_or_card();
  if (!device) return;
  const weft::TrainingData data = waves({{"train", 200}, {"validation", 80}});
  const std::string precision = GENERATE(as<std::string>{}, "off", "bf16");
  const Recipe whole_recipe = recipe(
      {{"epochs", 5}, {"batch_size", 32}, {"lr", 0.02}, {"auxiliary_weight", 0.4}, {"mixed_precision", precision}});
  if (const std::string lacking = message_of([&] { weft::check(whole_recipe, 200, *device); }); lacking != "no error") {
    WARN("without bf16: " << lacking);
    return;
  }
  const auto train = [&](weft::Network& network, const weft::TrainingOptions& options) {
    network.to(*device);
    return weft::train(network, data, whole_recipe, weft::Rng(9), options);
  };
  weft::Network whole(condensing_network(), weft::Rng(1));
  const auto side_before = whole.state().at("side.weight").clone();
  const TrainingResult expected = train(whole, {.device = *device});
  // Else the below would show nothing.
  CHECK_FALSE(whole.state().at("side.weight").cpu().equal(side_before));
  CHECK(whole.state().at("learned.mask").sum().item<int>() == 8 * 8 / 4);

  for (const int pause_at : {1, 2, 4}) {
    CAPTURE(precision, pause_at);
    const TemporaryFolder folder;
    const auto pause = [&](const Json& report) {
      return report.at("epoch") == pause_at ? Verdict::pause : Verdict::go_on;
    };
    weft::Network interrupted(condensing_network(), weft::Rng(1));
    train(interrupted, {.folder = folder.path, .report = pause, .device = *device});
    weft::Network resumed(condensing_network(), weft::Rng(77));  // its weights come from the checkpoint
    const TrainingResult result = train(resumed, {.folder = folder.path, .device = *device});
    CHECK(without_seconds(result) == without_seconds(expected));
    CHECK(same_weights(whole, resumed));
  }
}

TEST_CASE("a checkpoint knows its network, not only how many numbers that has") {
  const TemporaryFolder folder;
  const fs::path file = weft::checkpoint_file(folder.path);
  const weft::TrainingData data = waves({{"train", 100}, {"validation", 40}});
  const auto run = [&](const weft::Architecture& architecture, int epochs) {
    weft::Network network(architecture, weft::Rng(1));
    return without_seconds(weft::train(network, data,
                                       recipe({{"epochs", epochs}, {"batch_size", 30}, {"schedule", "constant"}}),
                                       weft::Rng(1), {.folder = folder.path}));
  };
  CHECK(striped_network(true).cost().parameters == striped_network(false).cost().parameters);
  const Json expected = run(striped_network(true), 2);
  fs::remove(file);
  run(striped_network(true), 1);
  CHECK_THAT(message_of([&] { run(striped_network(false), 2); }),
             ContainsSubstring(file.string() + ": a checkpoint of another network") &&
                 ContainsSubstring("remove the file to train from the start"));
  CHECK(run(striped_network(true, "renamed"), 2) == expected);

  // The same nodes and numbers: what they read, and what is put out, belong to the network, too.
  const auto wired = [](bool in_turn, bool auxiliary) {
    weft::ArchitectureBuilder graph;
    const weft::NodeId x = graph.input(weft::Shape::image(1, 8, 8));
    const auto layer = [&](weft::NodeId from) {
      return graph.add("conv2d", {{"channels", 1}, {"kernel", 3}, {"padding", 1}}, {from});
    };
    const weft::NodeId first = layer(x), second = layer(in_turn ? first : x);
    const weft::NodeId sum = graph.add("add", {}, {first, second});
    const auto classifier = [&] { return weft::blocks::classifier(graph, sum, 4); };
    const weft::NodeId one = classifier(), other = classifier();
    return auxiliary ? std::move(graph).build(one, other) : std::move(graph).build(one);
  };
  fs::remove(file);
  run(wired(true, true), 1);
  for (const auto& other : {wired(false, true), wired(true, false)})
    CHECK_THAT(message_of([&] { run(other, 2); }), ContainsSubstring("a checkpoint of another network"));

  // Release 1.0 wrote the tensors and the curve alone.
  fs::remove(file);
  run(striped_network(true), 1);
  std::ifstream stream(file, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(stream)), {});
  const auto content = torch::jit::pickle_load(bytes).toTupleRef().elements().vec();
  REQUIRE(content.size() == 3);
  const std::vector<char> old = torch::jit::pickle_save(c10::ivalue::Tuple::create({content[0], content[1]}));
  std::ofstream(file, std::ios::binary).write(old.data(), static_cast<std::streamsize>(old.size()));
  CHECK(run(striped_network(true), 2) == expected);
}

TEST_CASE("a checkpoint that does not fit is refused, and a damaged one is as if it were not there") {
  const TemporaryFolder folder;
  const weft::TrainingData data = waves({{"train", 100}, {"validation", 40}});
  const auto run = [&](const char* update_rule) {
    weft::Network network(small_network(false), weft::Rng(1));
    return weft::train(network, data, recipe({{"epochs", 1}, {"batch_size", 30}, {"update_rule", update_rule}}),
                       weft::Rng(1), {.folder = folder.path});
  };
  const auto first = without_seconds(run("sgd"));
  CHECK_THAT(message_of([&] { run("adam"); }), ContainsSubstring("of another network or update rule"));
  for (const char* damaged : {"", "not a checkpoint"}) {
    std::ofstream(weft::checkpoint_file(folder.path)) << damaged;
    CHECK(without_seconds(run("sgd")) == first);
  }
}

TEST_CASE("a training ends when it is told to, and says why it cannot go on", "[card]") {
  const weft::TrainingData data = waves({{"train", 200}, {"validation", 40}});
  weft::Network network(small_network(false), weft::Rng(1));
  SECTION("stopped") {
    const TrainingResult result =
        weft::train(network, data, recipe({{"epochs", 5}}), weft::Rng(1), {.report = [](const Json& report) {
                      CHECK(report.at("validation_accuracy").is_number());
                      return report.at("epoch") == 2 ? Verdict::stop : Verdict::go_on;
                    }});
    CHECK(result.state == weft::TrialState::pruned);
    CHECK(result.curve.size() == 2);
  }
  SECTION("the loss is not finite") {
    const Recipe exploding = recipe({{"epochs", 5}, {"schedule", "step"}, {"milestones", {2}}, {"gamma", 1e38}});
    CHECK_THAT(message_of([&] { weft::train(network, data, exploding, weft::Rng(1)); }),
               ContainsSubstring("loss is not finite in epoch 3"));
  }
  SECTION("given up after the first epoch") {
    const TemporaryFolder folder;
    std::vector<bool> finite;
    const weft::TrainingOptions options{
        .folder = folder.path,
        .report =
            [](const Json&) {
              FAIL("nothing is to be reported");
              return Verdict::go_on;
            },
        .gives_up = [&](const std::optional<weft::Score>& score) { return finite.push_back(score.has_value()), true; }};
    CHECK(weft::train(network, data, recipe({{"epochs", 5}}), weft::Rng(1), options).curve.empty());
    const Recipe exploding = recipe({{"epochs", 5}, {"lr", 1e38}});
    CHECK(weft::train(network, data, exploding, weft::Rng(1), options).curve.empty());
    CHECK(finite == std::vector<bool>{true, false});
    CHECK(weft::checkpointed_curve(folder.path).empty());
  }
  SECTION("the loss is not finite, but not for the learning rate") {
    weft::TrainingData infinite = data;
    infinite.normalisation.standard_deviation = {0.0};
    CHECK_THAT(message_of([&] { weft::train(network, infinite, recipe(Json::object()), weft::Rng(1)); }),
               ContainsSubstring("the normalised examples are not finite") && !ContainsSubstring("lr"));
  }
  SECTION("batch norm has one value") {
    weft::ArchitectureBuilder builder;
    const auto pooled = builder.add("global_avg_pool", {}, {builder.input(weft::Shape::image(1, 8, 8))});
    const auto norm = builder.add("batch_norm", {}, {builder.add("linear", {{"features", 4}}, {pooled})}, "norm");
    const auto architecture = std::move(builder).build(norm);
    weft::Network narrow(architecture, weft::Rng(1));
    const auto message = [&](int batch_size) {
      return message_of([&] {
        weft::train(narrow, data, recipe({{"epochs", 1}, {"batch_size", batch_size}}), weft::Rng(1));
      });
    };
    CHECK_THAT(message(1), ContainsSubstring("node norm: batch norm of one value per channel") &&
                               ContainsSubstring("batch_size above 1") && !ContainsSubstring("lr"));
    CHECK(message(3) == "no error");  // 160 examples: the last batch would hold one
  }
  SECTION("a batch is larger than the data") {
    CHECK(message_of([&] {
            weft::train(network, data, recipe({{"batch_size", 161}}), weft::Rng(1));
          }) == "/batch_size is 161; must not exceed the number of training examples, 160");
  }
  SECTION("the card's memory does not suffice") {
    if (at::hasCUDA()) {
      const c10::Device card(c10::kCUDA, 0);
      weft::ArchitectureBuilder builder;
      const auto input = builder.input(weft::Shape::image(1, 8, 8));
      const auto vast = builder.add("pad", {{"padding", {200000, 200000, 200000, 200000}}}, {input});
      const auto pooled = builder.add("global_avg_pool", {}, {vast});
      weft::Network large(std::move(builder).build(pooled), weft::Rng(1));
      CHECK_THAT(message_of([&] { weft::train(large, data, recipe(Json::object()), weft::Rng(1), {.device = card}); }),
                 ContainsSubstring("out of memory in epoch 1; use a smaller batch_size or network"));
    }
  }
#ifndef WEFT_ADDRESS_SANITIZED  // which ends the process instead
  SECTION("memory does not suffice") {
    weft::Network large(enlarging(4000000), weft::Rng(1));
    CHECK_THAT(message_of([&] { weft::train(large, data, recipe(Json::object()), weft::Rng(1)); }),
               ContainsSubstring("out of memory in epoch 1; use a smaller batch_size or network"));
    const weft::Batches examples(data.validation, data.normalisation);
    CHECK_THAT(message_of([&] { weft::evaluate(large, examples); }),
               ContainsSubstring("out of memory in evaluation, even of one example at a time; use a smaller network") &&
                   !ContainsSubstring("batch_size") && !ContainsSubstring("frame #"));
    weft::ArchitectureBuilder builder;
    const auto flat = builder.add("flatten", {}, {builder.input(weft::Shape::image(1, 8, 8))});
    const auto vast = std::move(builder).build(builder.add("linear", {{"features", 1000000000000}}, {flat}, "vast"));
    CHECK_THAT(message_of([&] { weft::Network(vast, weft::Rng(1)); }),
               ContainsSubstring("out of memory for the parameters of node vast; make the space's networks smaller"));
  }
#endif
}

namespace {

// Notes how many examples it is given at a time; too many are more than memory holds.
class Narrow final : public weft::OperationModule {
 public:
  Narrow(std::vector<std::int64_t>& seen, std::int64_t most, bool standard)
      : seen_(seen), most_(most), standard_(standard) {}
  at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool) override {
    seen_.push_back(inputs[0].size(0));
    if (seen_.back() > most_ && standard_) throw std::bad_alloc();
    TORCH_CHECK(seen_.back() <= most_, "CUDA out of memory. Tried to allocate 20.00 GiB");
    return inputs[0];
  }

 private:
  std::vector<std::int64_t>& seen_;
  std::int64_t most_;
  bool standard_;
};

// Does what LibTorch refuses.
class Mismatched final : public weft::Optimizer {
 public:
  explicit Mismatched(const weft::Context&) { at::zeros({2}).add(at::zeros({3})); }
  std::vector<weft::Proposal> ask(std::size_t) override { return {}; }
  void tell(const weft::TrialResult&) override {}
};

struct Strait {
  std::vector<std::int64_t> seen;
  weft::OperationModules modules = weft::OperationModules::built_in();
  std::optional<weft::Network> network;

  explicit Strait(std::int64_t most, bool standard = false) {
    modules.add("identity", [this, most, standard](const weft::ModuleArguments&) {
      return std::make_shared<Narrow>(seen, most, standard);
    });
    weft::ArchitectureBuilder builder;
    const auto input = builder.add("identity", {}, {builder.input(weft::Shape::image(1, 8, 8))});
    const auto pooled = builder.add("global_avg_pool", {}, {input});
    const auto architecture = std::move(builder).build(builder.add("linear", {{"features", 4}}, {pooled}));
    network.emplace(architecture, weft::Rng(1), modules);
  }
};

}  // namespace

TEST_CASE("evaluation fits where training does: four times its examples at a time, fewer where memory ends") {
  using Sizes = std::vector<std::int64_t>;
  const weft::TrainingData data = waves({{"train", 200}, {"validation", 100}});
  const weft::Batches examples(data.validation, data.normalisation);
  Strait wide(1000);
  const weft::Score expected = weft::evaluate(*wide.network, examples);
  CHECK(wide.seen == Sizes{100});
  wide.seen.clear();
  weft::evaluate(*wide.network, examples, 10);
  CHECK(wide.seen == Sizes{40, 40, 20});

  Strait narrow(30, GENERATE(false, true));
  const weft::Score score = weft::evaluate(*narrow.network, examples, 10);
  CHECK(narrow.seen == Sizes{40, 20, 20, 20, 20, 20});
  CHECK(score.loss == Approx(expected.loss));
  CHECK(score.accuracy == expected.accuracy);

  Strait none(0);
  CHECK(
      message_of([&] { weft::evaluate(*none.network, examples); }) ==
      "out of memory in evaluation, even of one example at a time; use a smaller network or resolution, or fewer slots "
      "on this device (CUDA out of memory. Tried to allocate 20.00 GiB)");
  CHECK(none.seen == Sizes{100, 100, 64, 32, 16, 8, 4, 2, 1});
}

TEST_CASE("a validation within a training follows the batch size") {
  Strait strait(1000);
  weft::train(*strait.network, waves({{"train", 100}, {"validation", 60}}), recipe({{"epochs", 1}, {"batch_size", 5}}),
              weft::Rng(1));
  CHECK(strait.seen.back() == 20);
}

TEST_CASE("an error of LibTorch crosses the boundary without its backtrace") {
  try {
    at::zeros({2}).add(at::zeros({3}));
  } catch (const std::exception& error) {
    CHECK_THAT(error.what(), ContainsSubstring("frame #0"));  // else the test shows nothing
  }
  constexpr weft_component mismatched = weft::component<Mismatched>("mismatched");
  const std::string message = message_of([&] { const weft::testing::Instance made(mismatched, Json::object()); });
  CHECK_THAT(message, ContainsSubstring("must match the size of tensor b (3)") && !ContainsSubstring("\n"));
}
