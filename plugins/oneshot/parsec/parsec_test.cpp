// PARSEC: the gradients of the evidence by enumeration and by samples, what a search leaves alone, and the contract of
// strategies.

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "plugins/oneshot/parsec/evidence.hpp"
#include "tests/torch/one_shot.hpp"
#include "weft/torch/checkpoint.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/structure.hpp"
#include "weft/torch/training.hpp"

using namespace weft;
using namespace weft::testing;
using parsec::Sample;

namespace {

// Two edges, three operations on each; classifies images of 5 x 5 into three.
Architecture two_edges() {
  ArchitectureBuilder graph;
  NodeId x = graph.add("conv2d", {{"channels", 3}, {"kernel", 3}}, {graph.input(Shape::image(1, 5, 5))});
  for (const char* edge : {"edge 1", "edge 2"}) {
    const auto group = graph.group(edge);
    const NodeId point = graph.add("conv2d", {{"channels", 3}, {"kernel", 1}}, {x});
    const NodeId wide = graph.add("conv2d", {{"channels", 3}, {"kernel", 3}, {"padding", 1}}, {x});
    x = graph.add("choice", {{"decision", edge}, {"options", {"skip", "conv 1", "conv 3"}}},
                  {x, graph.add("activation", {}, {point}), graph.add("activation", {}, {wide})});
  }
  return std::move(graph).build(graph.add("linear", {{"features", 3}}, {graph.add("global_avg_pool", {}, {x})}));
}

struct Problem {
  Network network{two_edges(), Rng(3)};
  StructureParameters structure{choices_of(network.architecture()), {.deviation = 0.7, .type = at::kDouble}, Rng(4)};
  OptionWeights prior = structure.weights();
  at::Tensor images, labels;
  std::vector<Sample> all;  // the nine paths, with p(a|pi)

  Problem() {
    network.to(at::kDouble);
    at::manual_seed(5);
    images = at::randn({12, 1, 5, 5}, at::kDouble).mul_(3.0);
    labels = at::randint(0, 3, {12}, at::kLong);
    for (int first = 0; first < 3; ++first) {
      for (int second = 0; second < 3; ++second) {
        all.push_back({{{"edge 1", {first}}, {"edge 2", {second}}},
                       prior.at("edge 1")[static_cast<std::size_t>(first)] *
                           prior.at("edge 2")[static_cast<std::size_t>(second)]});
      }
    }
  }

  // log p(y|X, v, a), with its graph.
  at::Tensor log_likelihood(const Sample& sample) {
    network.choose(gates_of(sample.path));
    return -12.0 * cross_entropy(network.forward(images).logits, labels, 0.0);
  }
  std::vector<double> log_likelihoods(const std::vector<Sample>& samples) {
    std::vector<double> numbers;
    for (const Sample& sample : samples) numbers.push_back(log_likelihood(sample).item<double>());
    return numbers;
  }

  // Leaves the gradients of log p(y|X, v, pi), differentiated as it is defined, in weights and structure.
  void differentiate_evidence() {
    std::vector<at::Tensor> terms;
    for (const Sample& sample : all) {
      at::Tensor term = log_likelihood(sample);
      for (std::size_t i = 0; i < 2; ++i) {
        const int option = sample.path.at(structure.choices()[i].decision).front();
        term = term + at::log_softmax(structure.logits()[i], 0)[option];
      }
      terms.push_back(term);
    }
    at::logsumexp(at::stack(terms), 0).backward();
  }
};

double distance(const std::vector<double>& of_options, const at::Tensor& expected) {
  return (at::tensor(of_options, at::kDouble) - expected).abs().max().item<double>();
}

// The study's data set with more images and less noise, of which a supernet learns something within epochs.
class LearnableImages {
 public:
  explicit LearnableImages(Surroundings of_study)
      : surroundings_(std::move(of_study)),
        dataset_(
            Plugin::open("dataset", "synthetic"),
            {{"channels", 1}, {"resolution", 8}, {"train", 1000}, {"validation", 200}, {"test", 20}, {"noise", 0.1}},
            {.study = surroundings_.study}) {
    surroundings_.collaborators["dataset"] = dataset_.handle();
  }
  const Surroundings& surroundings() const { return surroundings_; }

 private:
  Surroundings surroundings_;
  Instance dataset_;
};

}  // namespace

TEST_CASE("parsec: the weights of samples sum to one, however unlikely the labels") {
  Rng rng(1);
  const OptionWeights prior = {{"a", {0.5, 0.3, 0.2}}, {"b", {0.9, 0.1}}};
  const std::vector<Sample> samples = parsec::draw(prior, 16, rng);
  REQUIRE(samples.size() > 2);
  REQUIRE(samples.size() <= 6);  // equal ones are one
  double shares = 0.0;
  std::vector<double> unlikely, equal;
  for (const Sample& sample : samples) {
    shares += sample.share;
    unlikely.push_back(-5000.0 - 100.0 * static_cast<double>(unlikely.size()));
    equal.push_back(-2.0);
  }
  CHECK(shares == Approx(1.0));
  double sum = 0.0;
  for (const double weight : parsec::posterior(samples, unlikely)) sum += weight;
  CHECK(sum == Approx(1.0));

  // Samples that are equally likely weigh as often as they were drawn; all count.
  const std::vector<double> weights = parsec::posterior(samples, equal);
  for (std::size_t k = 0; k < samples.size(); ++k) CHECK(weights[k] == Approx(samples[k].share));
  CHECK(parsec::effective(samples, weights, 16) == Approx(16.0));
  CHECK(parsec::effective(samples, parsec::posterior(samples, unlikely), 16) == Approx(16.0 * samples[0].share));
  // exp(l) = 1, 2, 4 by halves, a quarter and a quarter.
  const std::vector<Sample> three = {{{}, 0.5}, {{}, 0.25}, {{}, 0.25}};
  const std::vector<double> by_hand = parsec::posterior(three, {0.0, std::log(2.0), std::log(4.0)});
  CHECK(by_hand[0] == Approx(0.25));
  CHECK(by_hand[1] == Approx(0.25));
  CHECK(by_hand[2] == Approx(0.5));
}

TEST_CASE("parsec: all paths of two edges give the gradient of the evidence, in structure and weights") {
  Problem problem;
  problem.differentiate_evidence();
  std::vector<at::Tensor> exact;
  for (at::Tensor& parameter : problem.network.parameters()) {
    exact.push_back(parameter.grad().clone());
    parameter.mutable_grad() = at::Tensor();
  }

  const std::vector<double> weights = parsec::posterior(problem.all, problem.log_likelihoods(problem.all));
  const OptionWeights gradient = parsec::gradient(problem.prior, problem.all, weights);
  for (std::size_t i = 0; i < 2; ++i) {
    const at::Tensor expected = problem.structure.logits()[i].grad();
    CHECK(expected.abs().max().item<double>() > 0.01);
    CHECK(distance(gradient.at(problem.structure.choices()[i].decision), expected) < 1e-12);
  }

  for (std::size_t k = 0; k < weights.size(); ++k) (weights[k] * problem.log_likelihood(problem.all[k])).backward();
  const std::vector<at::Tensor> parameters = problem.network.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) CHECK(at::allclose(parameters[i].grad(), exact[i], 1e-9, 1e-12));
}

TEST_CASE("parsec: the gradient by samples is that of the evidence within its standard error") {
  Problem problem;
  problem.differentiate_evidence();
  std::map<SupernetPath, double> known;
  for (const Sample& sample : problem.all) known[sample.path] = problem.log_likelihood(sample).item<double>();
  Rng rng(9);
  // Of many samples each, since the weights' normalisation has a bias that falls with their number.
  constexpr int estimates = 200, samples_each = 2000;
  std::vector<at::Tensor> drawn[2];
  for (int i = 0; i < estimates; ++i) {
    const std::vector<Sample> samples = parsec::draw(problem.prior, samples_each, rng);
    std::vector<double> log_likelihoods;
    for (const Sample& sample : samples) log_likelihoods.push_back(known.at(sample.path));
    const OptionWeights gradient =
        parsec::gradient(problem.prior, samples, parsec::posterior(samples, log_likelihoods));
    for (std::size_t edge = 0; edge < 2; ++edge)
      drawn[edge].push_back(at::tensor(gradient.at(problem.structure.choices()[edge].decision), at::kDouble));
  }
  for (std::size_t edge = 0; edge < 2; ++edge) {
    const at::Tensor all = at::stack(drawn[edge]);  // [estimates, options]
    const at::Tensor error = all.std(0) / std::sqrt(static_cast<double>(estimates));
    const at::Tensor expected = problem.structure.logits()[edge].grad();
    INFO("mean " << all.mean(0) << " of " << expected << " with standard errors " << error);
    CHECK(((all.mean(0) - expected).abs() / error).max().item<double>() < 3.0);
    CHECK(expected.abs().max().item<double>() > 20.0 * error.max().item<double>());
  }
}

// With one sample per step, of which an epoch has three.
TEST_CASE("parsec: what no path of an epoch had keeps weights and momentum, to the bit") {
  const SmallStudy study;
  const oneshot_contract::Folder folder;
  const auto searched_to = [&](std::size_t epoch) {
    oneshot_contract::Listener listener{.at = epoch, .answer = Verdict::pause};
    const OneShotResult result = oneshot_contract::search(
        Plugin::open("oneshot", "parsec"), short_search({{"samples", 1}}), study.surroundings(), listener, &folder);
    REQUIRE(result.state == TrialState::paused);
    return load_checkpoint(checkpoint_file(folder.path())).value().tensors;
  };
  const NamedTensors first = searched_to(1), second = searched_to(2);
  int kept = 0, kept_in_motion = 0, moved = 0;
  std::int64_t offset = 0, index = 0;
  Network network(study.space().supernet(), Rng(1));
  for (const auto& parameter : network.named_parameters()) {
    INFO(parameter.key());
    const std::int64_t size = parameter.value().numel();
    const auto same = [&](const char* name) {
      return at::equal(first.at(name).narrow(0, offset, size), second.at(name).narrow(0, offset, size));
    };
    const auto steps = [&](const NamedTensors& at_end) { return at_end.at("rule/steps")[index].item<std::int64_t>(); };
    const bool took_part = steps(second) > steps(first);
    CHECK(same("rule/parameters") == !took_part);
    CHECK(same("rule/momentum") == !took_part);
    (took_part ? moved : kept) += 1;
    if (!took_part && steps(first) > 0) ++kept_in_motion;
    offset += size;
    ++index;
  }
  CHECK(moved > 0);
  CHECK(kept > 0);
  CHECK(kept_in_motion > 0);
}

TEST_CASE("parsec: the structure follows the evidence") {
  const SmallStudy study;
  const LearnableImages images(study.surroundings());
  for (const char* likelihood : {"mean", "sum"}) {
    oneshot_contract::Listener listener;
    const OneShotResult result = oneshot_contract::search(Plugin::open("oneshot", "parsec"),
                                                          short_search({{"epochs", 12},
                                                                        {"update_rule", "adam"},
                                                                        {"lr", 0.02},
                                                                        {"structure_lr", 0.1},
                                                                        {"samples", 4},
                                                                        {"likelihood", likelihood}}),
                                                          images.surroundings(), listener, nullptr);
    INFO(study.space().notation(result.derived.front().genotype) << " " << result.to_json().dump());
    CHECK(result.derived.front().metrics.at("one_shot_accuracy") > 80.0);  // by chance 25, and where no path is left
    CHECK(listener.reports.back().at("entropy") < 0.8 * std::log(5.0));
  }
}

TEST_CASE("parsec keeps the contract of one-shot strategies") {
  const SmallStudy study;
  for (const char* likelihood : {"mean", "sum"}) {
    check_oneshot(Plugin::open("oneshot", "parsec"),
                  short_search({{"likelihood", likelihood}, {"samples", 4}, {"structure_lr", 0.05}}),
                  study.surroundings());
  }
}
