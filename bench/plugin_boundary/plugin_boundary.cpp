// The same optimizer, called as a C++ object and through the plugin boundary, in interleaved rounds. What differs is
// the boundary: tables, sinks, and the JSON of fidelity, metrics and notes. Target: less than 15 microseconds an ask
// and tell.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "weft/plugin.hpp"

namespace {

using weft::Json;

constexpr int rounds = 15;
constexpr int pairs = 20000;  // of ask and tell, in a round
constexpr double most_microseconds = 15.0;

// Proposes a genotype of 50 decisions (NASNet's two cells), with or without what a proposal may carry besides.
class Echo final : public weft::Optimizer {
 public:
  explicit Echo(const weft::Context& context) : laden_(context.get<bool>("laden")) {}

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals(capacity);
    for (weft::Proposal& proposal : proposals) {
      proposal.genotype.decisions.assign(50, ++count_ % 5);
      if (laden_) {
        proposal.fidelity.epochs = 3;
        proposal.notes = {{"temperature", 0.5}, {"generation", 7}, {"parents", {12, 15}}};
      }
    }
    return proposals;
  }
  void tell(const weft::TrialResult& result) override { sum_ += result.reward; }

 private:
  bool laden_;
  std::int32_t count_ = 0;
  double sum_ = 0.0;
};

constexpr weft_component component = weft::component<Echo>("echo");

// Microseconds of one ask and one tell.
double time_pairs(weft::Optimizer& optimizer, const weft::TrialResult& like) {
  const auto start = std::chrono::steady_clock::now();
  weft::TrialResult result = like;
  for (int i = 0; i < pairs; ++i) {
    const std::vector<weft::Proposal> proposals = optimizer.ask(1);
    result.trial = i;
    result.genotype = proposals.front().genotype;
    result.notes = proposals.front().notes;
    result.fidelity = proposals.front().fidelity;
    optimizer.tell(result);
  }
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / pairs;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + rounds / 2, values.end());
  return values[rounds / 2];
}

// The cost of the boundary for a plain or a laden proposal.
double measure(bool laden) {
  const std::string configuration = Json{{"laden", laden}}.dump();
  weft_context context{};
  context.size = sizeof(context);
  context.configuration = weft::detail::text(configuration);
  Echo direct{weft::Context(context)};
  void* instance = nullptr;
  weft::detail::StringWriter error;
  weft::detail::check(component.create(&context, &instance, error), error);
  weft::OptimizerRef through({&component, instance});

  weft::TrialResult result;
  result.reward = 91.3;
  result.objectives = {91.3, 35442.0};
  result.metrics = {{"validation_accuracy", 91.3}, {"train_loss", 0.231}, {"seconds", 12.25}};
  std::vector<double> inside, across;
  for (int round = 0; round < rounds; ++round) {
    inside.push_back(time_pairs(direct, result));
    across.push_back(time_pairs(through, result));
  }
  component.destroy(instance);
  fmt::print(
      "{:<8} direct {:6.2f} us, through the boundary {:6.2f} us, the boundary costs {:6.2f} us an ask and tell\n",
      laden ? "laden" : "plain", median(inside), median(across), median(across) - median(inside));
  return median(across) - median(inside);
}

}  // namespace

int main() {
  const double plain = measure(false);
  const double laden = measure(true);
  const bool met = plain < most_microseconds && laden < most_microseconds;
  fmt::print("less than {} us: {}\n", most_microseconds, met ? "ok" : "MISSED");
  return met ? 0 : 1;
}
