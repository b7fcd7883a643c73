#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "tests/torch/one_shot_text.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;
using evaluator_contract::Folder;

namespace {

// The small study after a one-shot search that has left `network` in `folder`.
template <typename Study>
Surroundings after_search(const Study& study, const Network& network, const Folder& folder) {
  save_weights(network, folder.path() / "supernet.pt");
  Surroundings surroundings = study.surroundings();
  surroundings.study["oneshot"] = {{"derived", Json::array()}, {"folder", folder.path().string()}};
  return surroundings;
}

Plugin plugin() { return Plugin::open("evaluator", "shared_weights"); }

}  // namespace

TEST_CASE("shared_weights keeps the contract of evaluators") {
  const SmallStudy study;
  const Folder folder;
  const Network network(study.space().supernet(), Rng(3));
  for (const int batches : {0, 2}) {
    check_evaluator(plugin(), {{"batch_size", 20}, {"calibration_batches", batches}},
                    after_search(study, network, folder));
  }
}

TEST_CASE("shared_weights measures the candidate's part of the supernet") {
  const SmallStudy study;
  const Folder folder;
  Network network(study.space().supernet(), Rng(3));
  const Instance instance(plugin(), {{"calibration_batches", 0}}, after_search(study, network, folder));
  Rng rng(5);
  const Genotype genotype = study.space().sample(rng);
  const weft_reporter silent{};
  const Evaluation evaluation = EvaluatorRef(instance.handle()).evaluate({.genotype = genotype}, silent);

  const Dataset& data = study.data();
  const Batches validation(data.validation(), {data.mean(), data.standard_deviation()});
  network.eval();
  network.set_statistics(Statistics::batch);
  network.choose(gates_of(study.space().path(genotype)));
  const Score score = evaluate(network, validation, 64);
  CHECK(evaluation.metrics.at("validation_accuracy").get<double>() == Approx(score.accuracy));
  CHECK(evaluation.metrics.at("validation_loss").get<double>() == Approx(score.loss));
}

TEST_CASE("shared_weights on a text: the contract, and the perplexity of the candidate's part") {
  const SmallTextStudy study("darts_rnn", small_cell(), repeated("aab", 200));
  const Folder folder;
  Network network(study.space().supernet(), Rng(3));
  const Surroundings surroundings = after_search(study, network, folder);
  check_evaluator(plugin(), {{"batch_size", 4}}, surroundings);

  const Instance instance(plugin(), {{"batch_size", 4}}, surroundings);
  Rng rng(5);
  const Genotype genotype = study.space().sample(rng);
  const weft_reporter silent{};
  const Evaluation evaluation = EvaluatorRef(instance.handle()).evaluate({.genotype = genotype}, silent);
  network.eval();
  network.set_statistics(Statistics::batch);
  network.choose(gates_of(study.space().path(genotype)));
  const Score score = evaluate(network, TextBatches(study.text().validation(), 4, SmallTextStudy::positions));
  CHECK(evaluation.metrics.at("validation_loss").get<double>() == Approx(score.loss));
  CHECK(evaluation.metrics.at("validation_accuracy").get<double>() == Approx(score.accuracy));
  CHECK(evaluation.metrics.at("validation_perplexity").get<double>() == Approx(std::exp(std::min(score.loss, 700.0))));
}

TEST_CASE("shared_weights says that there are none yet, or no more") {
  const SmallStudy study;
  Rng rng(5);
  const EvaluationRequest request{.genotype = study.space().sample(rng)};
  const weft_reporter silent{};
  const Instance before(plugin(), {}, study.surroundings());
  CHECK_THROWS_WITH(EvaluatorRef(before.handle()).evaluate(request, silent), ContainsSubstring("has not ended"));
  const Folder folder;
  const Network network(study.space().supernet(), Rng(3));
  const Instance after(plugin(), {}, after_search(study, network, folder));
  std::filesystem::remove(folder.path() / "supernet.pt");
  CHECK_THROWS_WITH(EvaluatorRef(after.handle()).evaluate(request, silent),
                    ContainsSubstring("supernet.pt does not exist"));
}
