// A small study for tests of one-shot strategies: a supernet of NAS-Bench-201, of one cell a stage, on synthetic
// images.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "tests/catch.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/oneshot_contract.hpp"
#include "weft/torch/guide.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/recipe.hpp"
#include "weft/torch/update_rule.hpp"

namespace weft::testing {

class SmallStudy {
 public:
  explicit SmallStudy(const std::string& space = "nas_bench_201",
                      const Json& space_args = {{"cells", 1}, {"channels", 4}})
      : study_{{"phase", "search"}, {"task", {{"input", {1, 8, 8}}, {"classes", 4}}}},
        dataset_(Plugin::open("dataset", "synthetic"),
                 {{"channels", 1}, {"resolution", 8}, {"train", 120}, {"validation", 40}, {"test", 20}},
                 {.study = study_}),
        space_(Plugin::open("space", space), space_args, {.study = study_}) {}

  Surroundings surroundings() const {
    return {.study = study_, .collaborators = {{"dataset", dataset_.handle()}, {"space", space_.handle()}}};
  }
  SpaceRef space() const { return SpaceRef(space_.handle()); }
  const Dataset& data() const { return dataset_contract::dataset_of(dataset_); }

 private:
  Json study_;
  Instance dataset_, space_;
};

// What makes a search of a few seconds.
inline Json short_search(const Json& more = Json::object()) {
  Json args = {{"epochs", 3}, {"batch_size", 20}, {"crop_padding", 1}, {"calibration_batches", 2}};
  args.update(more);
  return args;
}

// A training at one rate, with momentum and decay, of which nothing may reach what takes no part.
inline Recipe steady_recipe(int epochs, std::int64_t batch_size) {
  Recipe recipe{};
  recipe.epochs = epochs;
  recipe.batch_size = batch_size;
  recipe.lr = 0.1;
  recipe.update_rule = std::make_shared<Sgd>(0.9);
  recipe.weight_decay = 0.01;
  return recipe;
}

// A guide that counts, step by step, what of the network stays as it was that none of the step's passes had.
template <typename Guide>
class Watched final : public Guide {
 public:
  template <typename... Args>
  explicit Watched(Network& network, Args&&... args) : Guide(std::forward<Args>(args)...), network_(network) {}

  void begin(const Updates& rule) override { rule_ = &rule; }
  void before_step(const Step&) override {
    values_ = rule_->state().at("parameters").clone();
    momentum_ = rule_->state().at("momentum").clone();
    active_.clear();
  }
  void after_pass(const Step&, const Pass& pass, const at::Tensor&) override {
    SupernetPath path;
    for (const auto& [decision, gate] : pass.gates) path[decision] = gate.active;
    const Architecture part = restricted(network_.architecture(), path);
    for (const Node& node : part.nodes()) active_.insert(node.name);
  }
  void after_step(const Step&) override {
    std::int64_t first = 0;
    for (const auto& entry : network_.named_parameters()) {
      const std::int64_t size = entry.value().numel();
      const auto of = [&](const at::Tensor& all) { return all.narrow(0, first, size); };
      const at::Tensor momentum = of(rule_->state().at("momentum"));
      const bool same =
          at::equal(of(values_), of(rule_->state().at("parameters"))) && at::equal(of(momentum_), momentum);
      if (active_.contains(entry.key().substr(0, entry.key().rfind('.')))) {
        moved += same ? 0 : 1;
      } else {
        changed += same ? 0 : 1;
        remembered += momentum.any().template item<bool>() ? 1 : 0;
      }
      first += size;
    }
    CHECK(first == values_.numel());
  }

  int moved = 0, changed = 0, remembered = 0;  // parameters: active, others, others with a momentum

 private:
  Network& network_;
  const Updates* rule_ = nullptr;
  at::Tensor values_, momentum_;
  std::set<std::string> active_;  // nodes
};

}  // namespace weft::testing
