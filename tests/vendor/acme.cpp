// Lists of digits, an operation that their graphs have, an optimizer that climbs among them, their sum, and what is
// left to the largest: five components of one library. Genotypes are JSON that looks like decisions and is none.

#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "digits.hpp"
#include "weft/blocks.hpp"
#include "weft/plugin.hpp"

namespace {

using weft::Json;

std::size_t length_in(const std::filesystem::path& folder) {
  std::size_t length = 0;
  if (!(std::ifstream(folder / "data/length.txt") >> length))
    throw weft::Error((folder / "data/length.txt").string() + " cannot be read");
  return length;
}

Json digits_of(const weft::Genotype& genotype, std::size_t length) {
  const Json& list = genotype.opaque;
  bool fits = genotype.decisions.empty() && list.is_array() && list.size() == length;
  for (std::size_t i = 0; fits && i < length; ++i)
    fits = list[i].is_number_integer() && list[i] >= 0 && list[i] < acme::digits();
  if (!fits) throw weft::InvalidInput("not " + std::to_string(length) + " opaque digits: " + genotype.key());
  return list;
}

// Hands on what it is given.
class Keep final : public weft::Operation {
 public:
  explicit Keep(const weft::Context&) {}
  Description describe() const override { return {}; }
  Inferred infer(Json&, std::span<const weft::Shape> inputs) const override { return {inputs[0], {}}; }
};

class Numbers final : public weft::Space, public weft::Mutation {
 public:
  explicit Numbers(const weft::Context& context) : length_(length_in(context.folder())), task_(context.task()) {}

  weft::Genotype sample(weft::Rng& rng) const override {
    weft::Genotype genotype;
    genotype.opaque = Json::array();
    for (std::size_t i = 0; i < length_; ++i) genotype.opaque.push_back(rng.below(digit_values()));
    return genotype;
  }
  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    weft::Genotype child = parent;
    child.opaque = digits_of(parent, length_);
    child.opaque[rng.below(length_)] = rng.below(digit_values());
    return child;
  }
  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const Json digits = digits_of(genotype, length_);
    weft::ArchitectureBuilder graph;
    const weft::NodeId image = graph.add("acme/keep", {}, {graph.input(task_.input)});
    const weft::NodeId classes = weft::blocks::classifier(graph, image, task_.classes);
    return {std::move(graph).build(classes), {{"digits", digits}}};
  }
  std::string notation(const weft::Genotype& genotype) const override { return digits_of(genotype, length_).dump(); }
  weft::Genotype parse(std::string_view notation) const override {
    weft::Genotype genotype;
    genotype.opaque = Json::parse(notation, nullptr, false);
    digits_of(genotype, length_);
    return genotype;
  }

 private:
  static std::uint64_t digit_values() { return static_cast<std::uint64_t>(acme::digits()); }
  std::size_t length_;
  weft::Task task_;
};

class Climber final : public weft::Optimizer {
 public:
  explicit Climber(const weft::Context& context)
      : length_(length_in(context.folder())), space_(context.space()), rng_(context.rng()) {
    for (const Json& objective : context.study().at("objectives")) directions_.push_back(objective.at("direction"));
  }

  std::vector<weft::Proposal> ask(std::size_t capacity) override {
    std::vector<weft::Proposal> proposals(capacity);
    for (weft::Proposal& proposal : proposals) {
      proposal.genotype = best_ ? space_.mutate(best_->genotype, rng_) : space_.sample(rng_);
      proposal.notes = {{"directions", directions_}};
    }
    return proposals;
  }
  void tell(const weft::TrialResult& result) override {
    digits_of(result.genotype, length_);
    if (result.complete() && (!best_ || result.reward > best_->reward)) best_ = result;
  }

 private:
  std::size_t length_;
  weft::SpaceRef space_;
  weft::Rng rng_;
  Json directions_ = Json::array();
  std::optional<weft::TrialResult> best_;
};

class Sum final : public weft::Evaluator {
 public:
  explicit Sum(const weft::Context& context) : length_(length_in(context.folder())) {}

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter&) override {
    int sum = 0;
    for (const Json& digit : digits_of(request.genotype, length_)) sum += digit.get<int>();
    const int largest = static_cast<int>(length_) * (acme::digits() - 1);
    return {.metrics = {{"validation_accuracy", 100.0 * sum / largest}, {"loss", largest - sum}}};
  }

 private:
  std::size_t length_;
};

class Loss final : public weft::Objective {
 public:
  explicit Loss(const weft::Context&) {}
  weft::Direction direction() const override { return weft::Direction::minimize; }
  double after(const Json& metrics) const override {
    if (!metrics.contains("loss") || !metrics.at("loss").is_number()) throw weft::Error("the metric loss is missing");
    return metrics.at("loss");
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<Numbers>("acme/numbers"), weft::component<Keep>("acme/keep"),
            weft::component<Climber>("acme/climber"), weft::component<Sum>("acme/sum"),
            weft::component<Loss>("acme/loss"))
