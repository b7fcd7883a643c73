// A step of population based training: a trial that goes on from another's checkpoint under another recipe.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "weft/evaluator.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/library.hpp"

using namespace weft;
using namespace weft::testing;
using evaluator_contract::Folder;
using evaluator_contract::Listener;

namespace {

// `train` under policies of population based augmentation, in trainings of 4 epochs.
class Steps {
 public:
  explicit Steps(int schedule_epochs = 4)
      : dataset_(Plugin::open("dataset", "synthetic"),
                 {{"channels", 3}, {"resolution", 8}, {"train", 80}, {"validation", 20}, {"test", 20}},
                 {.study = study()}),
        company_(Plugin::open("space", "pba"), space_args(), {.study = study()}),
        space_(Plugin::open("space", "pba"), space_args(), company_.surroundings()),
        evaluator_(
            Plugin::open("evaluator", "train"),
            {{"epochs", 4}, {"schedule_epochs", schedule_epochs}, {"batch_size", 20}, {"lr", 0.1}, {"crop_padding", 1}},
            {.study = study(), .collaborators = {{"dataset", dataset_.handle()}, {"space", space_.handle()}}}) {}

  // The reports, without what takes time.
  std::vector<Json> train(std::int32_t policy, int epochs, const Folder& folder, const Folder* from = nullptr) {
    EvaluationRequest request{.genotype = Genotype(std::vector<std::int32_t>(60, policy)),
                              .fidelity = {.epochs = epochs},
                              .folder = folder.path(),
                              .rng = Rng(5)};
    if (from != nullptr) request.fidelity.resume_from = 0, request.resume_folder = from->path();
    Listener listener;
    EvaluatorRef(evaluator_.handle()).evaluate(request, listener.reporter());
    for (Json& report : listener.reports) report.erase("seconds"), report.erase("epochs");
    return listener.reports;
  }
  const std::vector<std::string>& log() const { return evaluator_.log(); }

 private:
  static Json study() { return {{"phase", "search"}, {"task", {{"input", {3, 8, 8}}, {"classes", 4}}}}; }
  static Json space_args() {
    return {{"architecture", {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}}},
            {"genotype", "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"}};
  }

  Instance dataset_;
  Company company_;
  Instance space_, evaluator_;
};

}  // namespace

TEST_CASE("a step of a population carries weights, moments and epochs, and may change the recipe") {
  Steps steps;
  const Folder straight, first, same, changed;
  const std::vector<Json> whole = steps.train(0, 4, straight);
  REQUIRE(whole.size() == 4);
  const std::vector<Json> begun = steps.train(0, 2, first);
  CHECK(begun == std::vector<Json>(whole.begin(), whole.begin() + 2));
  // Two steps under one recipe are one training, to the bit: its schedule is that of all epochs.
  CHECK(steps.train(0, 4, same, &first) == std::vector<Json>(whole.begin() + 2, whole.end()));
  const std::vector<Json> other = steps.train(9, 4, changed, &first);
  REQUIRE(other.size() == 2);
  CHECK(other[0].at("epoch") == 3);
  CHECK(other[0].at("lr").get<double>() == Approx(0.05));  // half of a cosine is over
  CHECK(other[0].at("train_loss") != whole[2].at("train_loss"));
}

TEST_CASE("steps each of which has a schedule of its own are warned of, once") {
  Steps whole, steps(0);
  const Folder first, second, third, fourth;
  whole.train(0, 1, first);
  whole.train(0, 2, second, &first);
  CHECK(whole.log().empty());
  steps.train(0, 3, third, &second);
  steps.train(0, 4, fourth, &third);
  REQUIRE(steps.log().size() == 1);
  CHECK_THAT(steps.log()[0], ContainsSubstring("goes on from trial 0 under a schedule of its own 3 epochs"));
}
