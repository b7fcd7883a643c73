// One-shot search on texts: its two parts of the text, each with a memory of its own, and what a step of training has
// besides its loss.

#include "tests/torch/one_shot_text.hpp"

#include <ATen/ATen.h>

#include <string>
#include <utility>
#include <vector>

#include "weft/plugin.hpp"
#include "weft/torch/one_shot_search.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

const std::initializer_list<const char*> darts_only = {
    "order", "epsilon", "softmax", "structure_deviation", "structure_lr", "structure_betas", "structure_weight_decay"};

// Arguments of a search that leaves the weights as they are.
Json at_rest(const Json& more = Json::object()) {
  Json args = {{"epochs", 2},   {"batch_size", 4},   {"lr", 0},          {"lr_min", 0},
               {"momentum", 0}, {"nesterov", false}, {"weight_decay", 0}};
  args.update(more);
  return Plugin::open("oneshot", "darts").configuration(args);
}

// Reads the structure's batches in turns with the weights', and beside it two networks of the same weights that read
// one of the parts each.
class Reader final : public Guide {
 public:
  Reader(const OneShotSearch& search, Network& network, const SupernetPath& path)
      : search_(search),
        network_(network),
        path_(path),
        of_weights_(search.supernet(), Rng(3)),
        of_structure_(search.supernet(), Rng(3)),
        batches_(search, search.recipe().augmentation) {
    for (Network* each : {&network_, &of_weights_, &of_structure_}) each->choose(gates_of(path));
  }

  void begin_epoch(int, const Rng& rng) override {
    batches_.begin(rng, 0.0);
    of_weights_.carry_state(true);
    of_structure_.carry_state(true);
  }
  void before_step(const Step& step) override {
    const at::NoGradGuard no_grad;
    const Batch batch = batches_.next();
    const Batch first = search_.structure_text()->batch(0);
    if (batch.images.data_ptr() == first.images.data_ptr()) of_structure_.carry_state(true), ++rounds;
    {
      const MemoryHeld held(network_, batches_);
      CHECK(at::equal(network_.forward(batch.images).logits, of_structure_.forward(batch.images).logits));
    }
    {
      const MemoryHeld held(network_);
      CHECK(at::equal(network_.forward(step.batch.images).logits, of_weights_.forward(step.batch.images).logits));
    }
    structure.push_back(batch.images.flatten());
    weights.push_back(step.batch.images.flatten());
  }
  std::vector<Pass> passes(const Step&) override { return {{.gates = gates_of(path_)}}; }
  NamedTensors state() override { return {}; }

  std::vector<at::Tensor> weights, structure;  // tokens
  int rounds = 0;

 private:
  const OneShotSearch& search_;
  Network& network_;
  SupernetPath path_;
  Network of_weights_, of_structure_;
  EndlessBatches batches_;
};

class Witness final : public OneShot {
 public:
  explicit Witness(const Context& context) : search_(context, darts_only) {}

  OneShotResult search(const EvaluationRequest& request, const Reporter& reporter) override {
    Network network(search_.supernet(), Rng(3));
    Rng rng(5);
    const Genotype genotype = search_.space().sample(rng);
    Reader reader(search_, network, search_.space().path(genotype));
    const OneShotResult result = search_.train(request, reporter, network, reader,
                                               [&] { return std::vector{search_.derived(network, genotype)}; });
    CHECK(reader.rounds >= 2);
    const at::Tensor weights = at::cat(reader.weights), structure = at::cat(reader.structure);
    CHECK(weights.eq(weights[0]).all().item<bool>());
    CHECK(structure.eq(structure[0]).all().item<bool>());
    CHECK(weights[0].item<std::int64_t>() != structure[0].item<std::int64_t>());
    return result;
  }

 private:
  OneShotSearch search_;
};

constexpr weft_component witness = weft::component<Witness>("witness");

}  // namespace

TEST_CASE("one-shot search of a text: weights and structure have parts of their own, and each its memory") {
  // 400 of 500 characters are trained on, 240 a and 160 b, of which the structure has the last 40 %.
  const SmallTextStudy study("enas_rnn", small_cell(), repeated("a", 240) + repeated("b", 260));
  const Instance instance(witness, at_rest({{"structure_share", 0.4}}), study.surroundings());
  evaluator_contract::Listener listener;
  const OneShotResult result = OneShotRef(instance.handle()).search({.trial = -1, .rng = Rng(5)}, listener.reporter());
  REQUIRE(result.derived.size() == 1);
  const Json& metrics = result.derived[0].metrics;
  CHECK(metrics.at("one_shot_perplexity").get<double>() == Approx(std::exp(metrics.at("one_shot_loss").get<double>())));
  CHECK(metrics.contains("one_shot_accuracy"));
  for (const Json& report : listener.reports) {
    for (const std::string split : {"train", "validation"})
      CHECK(report.at(split + "_perplexity").get<double>() ==
            Approx(std::exp(report.at(split + "_loss").get<double>())));
  }
}

TEST_CASE("one-shot search of a text refuses parts that are shorter than a batch") {
  const SmallTextStudy study;  // 360 characters to train on
  const auto refusal = [&](const Json& args) -> std::string {
    try {
      const Instance instance(witness, at_rest(args), study.surroundings());
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK_THAT(refusal({{"batch_size", 37}}),
             ContainsSubstring("/batch_size is 37; so many sequences of 5 positions side by side need 186 tokens, but "
                               "what structure_share leaves for the weights has 180"));
  CHECK_THAT(refusal({{"batch_size", 30}, {"structure_share", 0.1}}),
             ContainsSubstring("the part of the text for the structure has 36"));
  CHECK(refusal({{"batch_size", 30}}) == "accepted");
}

TEST_CASE("a penalty is descended, and is no part of the loss that is reported") {
  const SmallTextStudy study;
  const auto trained = [&](double weight) {
    Rng rng(3);
    const SmallTextStudy same("enas_rnn", small_cell({{"slowness", weight}}));
    Network network(same.space().decode(same.space().sample(rng)).architecture, Rng(3));
    const TextData data{.train = study.text().train(), .validation = {}, .positions = SmallTextStudy::positions};
    Recipe recipe = steady_recipe(1, 60);  // one whole sequence, and a shorter one
    recipe.gradient_clip = 0.0;
    const TrainingResult result = train(network, data, recipe, Rng(7));
    at::Tensor weights = at::cat([&] {
      std::vector<at::Tensor> flat;
      for (const at::Tensor& parameter : network.parameters()) flat.push_back(parameter.detach().flatten());
      return flat;
    }());
    return std::pair(result.curve.at(0).train.loss, std::move(weights));
  };
  const auto [loss, weights] = trained(0.0);
  const auto [same_loss, moved] = trained(100.0);
  CHECK(same_loss == loss);  // of the one step that is taken
  CHECK_FALSE(at::allclose(weights, moved, 1e-3, 1e-3));
}
