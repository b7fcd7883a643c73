#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "plugins/evaluator/found_policy/policies.hpp"
#include "plugins/evaluator/found_policy/study_trials.hpp"
#include "tests/catch.hpp"
#include "weft/evaluator.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/library.hpp"

using namespace weft;
using namespace weft::testing;

namespace fs = std::filesystem;

namespace {

Plugin plugin() { return Plugin::open("evaluator", "found_policy"); }

// A study with a space of policies for a small network, its folder, and a final training in it.
class FoundStudy {
 public:
  FoundStudy(const std::string& space, const Json& args, const Json& evaluator, const char* phase = "final")
      : study_{{"phase", phase}, {"task", {{"input", {3, 8, 8}}, {"classes", 4}}}},
        dataset_(Plugin::open("dataset", "synthetic"),
                 {{"channels", 3}, {"resolution", 8}, {"train", 60}, {"validation", 20}, {"test", 20}},
                 {.study = study_}),
        company_(Plugin::open("space", space), over(args), {.study = study_}),
        space_(Plugin::open("space", space), over(args), company_.surroundings()),
        evaluator_(plugin(), evaluator_args(evaluator),
                   {.study = study_, .collaborators = {{"dataset", dataset_.handle()}, {"space", space_.handle()}}}) {}

  SpaceRef space() const { return SpaceRef(space_.handle()); }

  void add(const Genotype& genotype, const Json& metrics, const Fidelity& fidelity = {},
           const char* state = "COMPLETE") {
    const fs::path trial = folder_.path() / "trials" / std::to_string(trials_);
    fs::create_directories(trial);
    const Json proposal = Proposal{.genotype = genotype, .fidelity = fidelity}.to_json();
    std::ofstream(trial / "result.json") << Json{
        {"state", state}, {"metrics", metrics}, {"reason", ""}, {"job", {{"trial", trials_}, {"proposal", proposal}}}};
    ++trials_;
  }

  // Of the last trial.
  Json train(const Genotype& genotype) {
    const weft_reporter silent{};
    EvaluationRequest request{.trial = trials_ - 1, .genotype = genotype, .folder = final_folder()};
    fs::create_directories(final_folder());
    return EvaluatorRef(evaluator_.handle()).evaluate(request, silent).metrics;
  }
  Json policy() const { return Json::parse(std::ifstream(final_folder() / "policy.json")); }

 private:
  static Json over(Json args) {
    args["architecture"] = {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}};
    args["genotype"] = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|";
    return args;
  }
  static Json evaluator_args(const Json& more) {
    Json args = {{"epochs", 1}, {"batch_size", 20}, {"crop_padding", 1}};
    args.update(more);
    return args;
  }
  fs::path final_folder() const { return folder_.path() / "final" / "0"; }

  evaluator_contract::Folder folder_;
  TrialId trials_ = 0;
  Json study_;
  Instance dataset_;
  Company company_;
  Instance space_, evaluator_;
};

}  // namespace

TEST_CASE("found_policy trains under the sub-policies of the best by each metric, without duplicates") {
  FoundStudy study("autoaugment", {{"sub_policies", 2}, {"operations_each", 1}},
                   {{"metrics", {"split_1_accuracy", "split_2_accuracy"}}, {"best", 1}});
  const auto add = [&](const std::string& policy, double first, double second, const char* state = "COMPLETE") {
    study.add(study.space().parse(policy), {{"split_1_accuracy", first}, {"split_2_accuracy", second}}, {}, state);
  };
  add("Invert 10% 1; Rotate 20% 2", 70, 50);
  add("Invert 30% 3; Rotate 20% 2", 60, 80);
  add("Invert 40% 4; Invert 50% 5", 70, 10);  // no better than the first
  add("Invert 60% 6; Invert 70% 7", 99, 99, "FAIL");
  const Json metrics = study.train(study.space().parse("Invert 10% 1; Rotate 20% 2"));
  CHECK(metrics.at("test_accuracy").is_number());
  const Json policy = Json::parse(R"([[["Invert", 0.1, 1]], [["Rotate", 0.2, 2]], [["Invert", 0.3, 3]]])");
  CHECK(study.policy() ==
        Json::array({{{"name", "autoaugment"}, {"args", {{"magnitudes", "aa"}, {"policy", policy}}}}}));
}

TEST_CASE("found_policy trains under what it found, whatever the candidate brings") {
  const auto trained = [](const std::string& best, const std::string& asked) {
    FoundStudy study("autoaugment", {{"sub_policies", 1}, {"operations_each", 1}}, {{"best", 1}});
    study.add(study.space().parse(best), {{"validation_accuracy", 90}});
    study.add(study.space().parse(asked), {{"validation_accuracy", 10}});
    return study.train(study.space().parse(asked)).at("train_loss");
  };
  const std::string nothing = "Invert 0% 0", solarized = "Solarize 100% 9";
  CHECK(trained(solarized, nothing) == trained(solarized, solarized));
  CHECK(trained(solarized, nothing) != trained(nothing, nothing));
}

TEST_CASE("found_policy trains on train and validation examples, on those of train alone, or on a share") {
  const auto examples = [](Json args, int wanted) {
    args["batch_size"] = wanted + 1;
    CHECK_THROWS_WITH(FoundStudy("autoaugment", Json::object(), args),
                      ContainsSubstring("the number of training examples, " + std::to_string(wanted)));
  };
  examples(Json::object(), 60);
  examples({{"use_validation", false}}, 40);  // without the 20 for validation
  examples({{"data_fraction", 0.5}}, 30);
  examples({{"data_fraction", 0.5}, {"use_validation", false}}, 20);
  for (const bool use_validation : {true, false}) {
    FoundStudy study("autoaugment", {{"sub_policies", 1}, {"operations_each", 1}},
                     {{"use_validation", use_validation}, {"best", 1}});
    const Genotype genotype = study.space().parse("Invert 50% 0");
    study.add(genotype, {{"validation_accuracy", 90}});
    CHECK(study.train(genotype).contains("validation_accuracy") == !use_validation);
  }
}

TEST_CASE("found_policy trains under the schedule that the best trial was trained under") {
  FoundStudy study("pba", Json::object(), {{"found", "schedule"}});
  const auto all = [](std::int32_t number) { return std::vector<std::int32_t>(60, number); };
  const auto add = [&](std::int32_t policy, int epochs, std::optional<TrialId> from) {
    study.add(Genotype(all(policy)), {{"validation_accuracy", 50}}, {.epochs = epochs, .resume_from = from});
  };
  add(1, 3, {});
  add(2, 3, {});
  add(1, 6, 0);
  add(3, 6, 0);
  add(4, 8, 2);
  study.train(Genotype(all(4)));
  const Json schedule = Json::array({{6, all(1)}, {2, all(4)}});
  CHECK(study.policy()[0].at("args").at("policy") == schedule);
}

TEST_CASE("found_policy drops equal sub-policies, or within a policy those of equal operations, and keeps the first") {
  using found_policy::Duplicates;
  const Json first = Json::parse(R"([[["A", 0.1, 1], ["B", 0.2, 2]], [["B", 0.2, 2], ["A", 0.1, 1]]])");
  const Json second = Json::parse(R"([[["A", 0.3, 3], ["B", 0.4, 4]], [["B", 0.2, 2], ["A", 0.1, 1]]])");
  CHECK(found_policy::united({first, second}, Duplicates::all) ==
        Json::array({first[0], first[1], second[0], second[1]}));
  CHECK(found_policy::united({first, second}, Duplicates::equal) == Json::array({first[0], first[1], second[0]}));
  const Json third = Json::parse(R"([[["A", 0.5, 5], ["B", 0.6, 6]], [["A", 0.1, 1], ["B", 0.2, 2]]])");
  CHECK(found_policy::united({first, second, third}, Duplicates::operations) ==
        Json::array({first[0], first[1], second[0], second[1], third[0]}));
  CHECK_THROWS_WITH(found_policy::united({Json::array({1, 2})}, Duplicates::all),
                    ContainsSubstring("is not made of sub-policies"));
}

TEST_CASE("found_policy says what is missing") {
  FoundStudy study("autoaugment", {{"sub_policies", 1}}, Json::object());
  const Genotype genotype = study.space().parse("Invert 10% 1 + Rotate 20% 2");
  CHECK_THROWS_WITH(study.train(genotype), ContainsSubstring("trials has no result.json of any trial"));
  study.add(genotype, {{"validation_loss", 1}});
  CHECK_THROWS_WITH(study.train(genotype),
                    ContainsSubstring("no complete trial of the study has the metric validation_accuracy"));
  CHECK_THROWS_WITH(found_policy::line_of(1, {{.number = 1, .proposal = {.fidelity = {.resume_from = 0}}}}),
                    ContainsSubstring("trial 0, which trial 1 has gone on from, has no result.json"));
  CHECK_THROWS_WITH(FoundStudy("autoaugment", Json::object(), Json::object(), "search"),
                    ContainsSubstring("it is a /final/evaluator"));
}
