// ProxylessNAS: every step of the weights trains one path of an over-parameterised network, drawn by the structure's
// probabilities; the structure learns, on other data, from gates that are open or shut, so that a step has no more than
// two paths in memory; and the latency of what it finds is part of what it descends.
//
// Cai, Zhu, Han 2019, "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware"; numbers that the
// paper does not have are those of the authors' code (mit-han-lab/proxylessnas, search). The options:
//
//   gates      the paths that are drawn share the probability they have together; others keep theirs (section 3.2)
//   reinforce  the structure follows rewards of sampled architectures (section 3.3.2)
//
// Where it differs: two paths are computed side by side, where the authors' code by default computes all of them, one
// after another, the shut ones without what their gradients need. The latency of the two is weighed as their loss is,
// as if there were no others; in the code its gradient reaches all options. The baseline is the moving average of
// earlier rewards, which in the code is all but the present ones' mean. The rate of the weights has one course, without
// an own one of the epochs in which the weights learn alone.

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "binarized.hpp"
#include "weft/plugin.hpp"

namespace {

using proxyless::Binarized;
using proxyless::Latency;
using proxyless::LatencyLoss;
using proxyless::Options;

LatencyLoss latency_loss_of(const weft::Context& context) {
  const auto form = context.get<std::string>("latency_loss");
  return {.form = form == "additive"      ? LatencyLoss::Form::additive
                  : form == "logarithmic" ? LatencyLoss::Form::logarithmic
                                          : LatencyLoss::Form::none,
          .weight = context.get<double>("latency_weight"),
          .target = context.get<double>("latency_target"),
          .power = context.get<double>("latency_power")};
}

Options options_of(const weft::Context& context) {
  return {
      .update = context.get<std::string>("update") == "reinforce" ? Options::Update::reinforce : Options::Update::gates,
      .weights_epochs = context.get<int>("weights_epochs"),
      .weight_steps = context.get<int>("weight_steps"),
      .paths = context.get<int>("paths"),
      .zeros_learn = context.get<bool>("zeros_learn"),
      .latency_loss = latency_loss_of(context),
      .samples = context.get<int>("samples"),
      .baseline_decay = context.get<double>("baseline_decay"),
      .reward_target = context.get<double>("latency_target"),
      .reward_exponent = context.get<double>("reward_exponent"),
      .deviation = context.get<double>("structure_deviation"),
      .lr = context.get<double>("structure_lr"),
      .betas = context.get<std::array<double, 2>>("structure_betas"),
      .weight_decay = context.get<double>("structure_weight_decay")};
}

Latency latency_of(const weft::Context& context, const weft::Architecture& supernet) {
  const auto table = context.get<std::string>("latency_table");
  if (!table.empty()) return proxyless::LatencyTable::read(table).of(supernet);
  return proxyless::regressed(supernet, {.base = context.get<double>("latency_base"),
                                         .per_multiply_add = context.get<double>("latency_per_multiply_add"),
                                         .per_parameter = context.get<double>("latency_per_parameter")});
}

void expect_structure_steps(const Options& options, const weft::Recipe& recipe) {
  if (options.weights_epochs < recipe.epochs) return;
  throw weft::InvalidInput("/weights_epochs is " + std::to_string(options.weights_epochs) + "; must be below epochs, " +
                           std::to_string(recipe.epochs) + ", of which the structure learns in the rest");
}

// A logarithm is of something above 1, and a ratio of something above 0.
void expect_latencies(const Options& options, const Latency& latency) {
  const bool by_reward = options.update == Options::Update::reinforce && options.reward_exponent != 0.0;
  const bool by_logarithm =
      options.update == Options::Update::gates && options.latency_loss.form == LatencyLoss::Form::logarithmic;
  if (!by_reward && !by_logarithm) return;
  const double least = by_logarithm ? 1.0 : 0.0;
  const std::string above = by_logarithm ? "1, as its logarithm is taken" : "0, as latencies are divided by it";
  if (!(options.reward_target > least)) {
    throw weft::InvalidInput("/latency_target is " + weft::Json(options.reward_target).dump() + "; must be above " +
                             above + "; give one, or take " +
                             (by_logarithm ? "another /latency_loss" : "0 as /reward_exponent"));
  }
  if (!(latency.smallest() > least)) {
    throw weft::InvalidInput("the smallest latency of an architecture is " + weft::Json(latency.smallest()).dump() +
                             "; must be above " + (by_logarithm ? "1" : "0") +
                             "; measure latencies in a smaller unit, or set what is fixed of them");
  }
}

// Of each decision the options that write the most, so many: training takes no more memory than they.
weft::SupernetPath largest_paths(const weft::Architecture& supernet, int count) {
  const std::vector<weft::SupernetChoice> choices = weft::choices_of(supernet);
  const auto all = weft::options_at_places(supernet);
  weft::SupernetPath path;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    std::vector<int> options;
    for (std::size_t option = 0; option < all[i].size(); ++option) options.push_back(static_cast<int>(option));
    std::ranges::stable_sort(options, std::ranges::greater(), [&](int option) {
      return weft::total_cost(all[i][static_cast<std::size_t>(option)]).activation_bytes;
    });
    options.resize(std::min(options.size(), static_cast<std::size_t>(count)));
    std::ranges::sort(options);
    path[choices[i].decision] = options;
  }
  return path;
}

// Which says, too, what it has found so far.
class Search final : public Binarized {
 public:
  Search(weft::OneShotSearch& search, weft::Network& network, const Latency& latency, const Options& options,
         const weft::Rng& rng)
      : Binarized(search.space(), network, search.structure_batches(), search.recipe(), latency, options, rng),
        search_(search) {}

  weft::Json report() override {
    weft::Json report = search_.describe(architecture());
    report.update(Binarized::report());
    return report;
  }

 private:
  weft::OneShotSearch& search_;
};

class Proxyless final : public weft::OneShot {
 public:
  explicit Proxyless(const weft::Context& context)
      : options_(options_of(context)),
        search_(context, {"update",
                          "weights_epochs",
                          "weight_steps",
                          "paths",
                          "zeros_learn",
                          "samples",
                          "baseline_decay",
                          "reward_exponent",
                          "latency_loss",
                          "latency_weight",
                          "latency_target",
                          "latency_power",
                          "latency_table",
                          "latency_base",
                          "latency_per_multiply_add",
                          "latency_per_parameter",
                          "structure_lr",
                          "structure_betas",
                          "structure_weight_decay",
                          "structure_deviation"}),
        latency_(latency_of(context, search_.supernet())) {
    expect_structure_steps(options_, search_.recipe());
    expect_latencies(options_, latency_);
    const int together = options_.update == Options::Update::reinforce ? 1 : options_.paths;
    search_.expect_memory(weft::restricted(search_.supernet(), largest_paths(search_.supernet(), together)));
  }

  weft::OneShotResult search(const weft::EvaluationRequest& request, const weft::Reporter& reporter) override {
    weft::Network network(search_.supernet(), request.rng.derive("weights"));
    Search guide(search_, network, latency_, options_, request.rng.derive("structure"));
    return search_.train(request, reporter, network, guide, [&] {
      weft::Derived derived = search_.derived(network, guide.architecture());
      derived.metrics["latency"] = guide.latency(derived.genotype);
      return std::vector{derived};
    });
  }

 private:
  Options options_;
  weft::OneShotSearch search_;
  Latency latency_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Proxyless>("proxyless"))
