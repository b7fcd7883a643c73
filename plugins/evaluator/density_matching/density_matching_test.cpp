#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "plugins/evaluator/density_matching/held_out.hpp"
#include "tests/catch.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/evaluator_contract.hpp"
#include "weft/testing/library.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

// Policies of one sub-policy for a small network, on synthetic images.
class Policies {
 public:
  explicit Policies(const char* phase = "search")
      : study_{{"phase", phase}, {"task", {{"input", {3, 8, 8}}, {"classes", 4}}}},
        dataset_(Plugin::open("dataset", "synthetic"),
                 {{"channels", 3}, {"resolution", 8}, {"train", 300}, {"validation", 20}, {"test", 20}},
                 {.study = study_}),
        company_(space_plugin(), space_args(), {.study = study_}),
        space_(space_plugin(), space_args(), company_.surroundings()) {}

  Surroundings surroundings() const {
    return {.study = study_, .collaborators = {{"dataset", dataset_.handle()}, {"space", space_.handle()}}};
  }
  Genotype policy(const std::string& notation) const { return SpaceRef(space_.handle()).parse(notation); }

 private:
  static Plugin space_plugin() { return Plugin::open("space", "autoaugment"); }
  static Json space_args() {
    return {{"architecture", {{"name", "nas_bench_201"}, {"args", {{"channels", 4}, {"cells", 1}}}}},
            {"genotype", "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"},
            {"sub_policies", 1}};
  }

  Json study_;
  Instance dataset_;
  Company company_;
  Instance space_;
};

Plugin plugin() { return Plugin::open("evaluator", "density_matching"); }

Json args(const Json& more = Json::object()) {
  Json all = {{"epochs", 5}, {"batch_size", 20}, {"lr", 0.1}, {"splits", 2}, {"crop_padding", 0}, {"flip", false}};
  all.update(more);
  return all;
}

const std::string nothing = "Rotate 0% 0 + Invert 0% 0", inverted = "Invert 100% 0 + Invert 0% 0",
                  drawn = "Rotate 50% 9 + TranslateX 50% 9";

class Evaluating {
 public:
  explicit Evaluating(const Policies& policies, const Json& more = Json::object())
      : policies_(policies), instance_(plugin(), args(more), policies.surroundings()) {}
  Json metrics(const std::string& policy) {
    const weft_reporter silent{};
    return EvaluatorRef(instance_.handle())
        .evaluate({.genotype = policies_.policy(policy), .rng = Rng(7)}, silent)
        .metrics;
  }
  const std::vector<std::string>& log() const { return instance_.log(); }

 private:
  const Policies& policies_;
  Instance instance_;
};

}  // namespace

TEST_CASE("density_matching keeps the contract of evaluators") {
  const Policies policies;
  check_evaluator(plugin(), args({{"flip", true}, {"crop_padding", 1}}), policies.surroundings());
}

TEST_CASE("density_matching holds out 40 percent of each class, and of each split others") {
  Split all{at::arange(100, at::kByte).view({100, 1, 1, 1}), at::arange(100, at::kLong) % 3};
  const auto parts = density_matching::parted(all, 3, 0.4, Rng(1));
  CHECK(parts.held_out.labels.bincount().equal(at::tensor({14, 13, 13}, at::kLong)));  // of 34, 33 and 33
  CHECK(parts.train.labels.bincount().equal(at::tensor({20, 20, 20}, at::kLong)));
  const at::Tensor both = at::cat({parts.train.images, parts.held_out.images}).flatten();
  CHECK(std::get<0>(both.sort()).equal(at::arange(100, at::kByte)));
  CHECK(parts.held_out.images.flatten().to(at::kLong).remainder(3).equal(parts.held_out.labels));
  const auto others = density_matching::parted(all, 3, 0.4, Rng(2));
  const auto sorted = [](const Split& split) { return std::get<0>(split.images.flatten().sort()); };
  CHECK_FALSE(sorted(others.held_out).equal(sorted(parts.held_out)));
}

TEST_CASE("density_matching measures whether one of the draws is right, on networks that are trained once") {
  const Policies policies;
  Evaluating five(policies), one(policies, {{"draws", 1}});
  // What changes nothing leaves what the networks know, however often it is drawn.
  const Json plain = five.metrics(nothing);
  CHECK(plain.at("validation_accuracy") == plain.at("plain_accuracy"));
  CHECK(plain.at("validation_accuracy").get<double>() > 30.0);  // of four classes
  CHECK(plain.at("validation_accuracy").get<double>() ==
        Approx((plain.at("split_1_accuracy").get<double>() + plain.at("split_2_accuracy").get<double>()) / 2));
  // So it is of what is always the same; what differs from draw to draw is right more often in one of several.
  const Json negative = five.metrics(inverted);
  CHECK(negative == one.metrics(inverted));
  CHECK(negative.at("validation_accuracy") != negative.at("plain_accuracy"));
  CHECK(five.metrics(drawn).at("validation_accuracy") > one.metrics(drawn).at("validation_accuracy"));
  REQUIRE(five.log().size() == 2);
  CHECK_THAT(five.log()[0], ContainsSubstring("split 1: trained on 168 examples without a policy; of 112 held out "));

  Evaluating second(policies, {{"split", 2}});
  const Json alone = second.metrics(drawn);
  CHECK(alone.at("validation_accuracy") == five.metrics(drawn).at("split_2_accuracy"));
  CHECK_FALSE(alone.contains("split_1_accuracy"));
  CHECK(second.log().size() == 1);
}

TEST_CASE("density_matching draws standard augmentation anew, too, as the network was trained with it") {
  const Policies policies;
  for (const Json& standard : {Json{{"crop_padding", 2}}, Json{{"flip", true}}, Json{{"cutout", 4}}}) {
    INFO(standard.dump());
    const Json metrics = Evaluating(policies, standard).metrics(nothing);
    CHECK(metrics.at("validation_accuracy") > metrics.at("plain_accuracy"));
  }
}

TEST_CASE("density_matching trains no second time what has failed to train") {
  const Policies policies;
  Evaluating hopeless(policies, {{"lr", 1e38}});
  CHECK_THROWS_WITH(hopeless.metrics(nothing), ContainsSubstring("loss is not finite in epoch 1"));
  CHECK_THROWS_WITH(hopeless.metrics(inverted),
                    ContainsSubstring("split 1, without a policy: loss is not finite in epoch 1") &&
                        ContainsSubstring("so it was in an earlier trial, and is not tried again"));
}

TEST_CASE("density_matching leaves nothing of its own trainings in a trial's folder") {
  const Policies policies;
  const Instance instance(plugin(), args(), policies.surroundings());
  const evaluator_contract::Folder folder;
  const weft_reporter silent{};
  EvaluatorRef(instance.handle()).evaluate({.genotype = policies.policy(drawn), .folder = folder.path()}, silent);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("density_matching refuses what it cannot measure by") {
  const Policies policies, last("final");
  CHECK_THROWS_WITH(Instance(plugin(), args(), last.surroundings()), ContainsSubstring("such as found_policy"));
  const auto refused = [&](const Json& more, const char* why) {
    CHECK_THROWS_WITH(Instance(plugin(), args(more), policies.surroundings()), ContainsSubstring(why));
  };
  refused({{"split", 3}}, "/split is 3; must not exceed /splits, 2");
  refused({{"held_out", 0.001}}, "/held_out is 0.001, which holds out none of 280 examples");
  refused({{"batch_size", 169}}, "/batch_size is 169; must not exceed the number of training examples, 168");

  Surroundings without_policy = policies.surroundings();
  const Instance network(Plugin::open("space", "nas_bench_201"), {{"channels", 4}, {"cells", 1}},
                         {.study = without_policy.study});
  without_policy.collaborators["space"] = network.handle();
  const Instance instance(plugin(), args(), without_policy);
  const weft_reporter silent{};
  CHECK_THROWS_WITH(EvaluatorRef(instance.handle()).evaluate({.genotype = Genotype({0, 0, 0, 0, 0, 0})}, silent),
                    ContainsSubstring("recipe has no augmentation"));
}
