// The AlexNet space of MONAS: the number of filters and the kernel of each convolution.
//
// Hsu, Chang, Liang, Chou, Liu, Chang, Pan, Chen, Wei, Juan 2018, "MONAS: Multi-Objective Neural Architecture Search
// using Reinforcement Learning", target networks. The network is that of Krizhevsky, Sutskever, Hinton 2012, "ImageNet
// Classification with Deep Convolutional Neural Networks", section 3, on one device and without local response
// normalisation, as in Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks" (1404.5997).
// Padding keeps the extent, so that any kernel fits any place; the first stride is an option, since small images allow
// none.

#include <algorithm>
#include <string>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

namespace {

namespace blocks = weft::blocks;
using weft::ArchitectureBuilder;
using weft::NodeId;

struct Convolution {
  std::int64_t filters;
  std::int64_t kernel;
};

class AlexNet final : public weft::DecisionSpace {
 public:
  explicit AlexNet(const weft::Context& context)
      : filters_(weft::ordinal_options(context.get<std::vector<std::int64_t>>("filters"))),
        kernels_(weft::ordinal_options(context.get<std::vector<std::int64_t>>("kernels"))),
        pooled_(context.get<std::size_t>("convolutions")),
        stem_stride_(context.get<std::int64_t>("stem_stride")),
        neurons_(context.get<std::vector<std::int64_t>>("neurons")),
        dropout_(context.get<double>("dropout")),
        task_(context.task()) {
    weft::require::odd(context.get<std::vector<std::int64_t>>("kernels"), "kernels");
    for (const std::size_t convolution : context.get<std::vector<std::size_t>>("pools")) {
      if (convolution > pooled_.size()) {
        throw weft::InvalidInput("/pools holds " + std::to_string(convolution) + "; must not exceed /convolutions, " +
                                 std::to_string(pooled_.size()));
      }
      pooled_[convolution - 1] = true;
    }
    // A pooling needs 2 n + 1 pixels to leave n.
    const auto pools = static_cast<std::size_t>(std::count(pooled_.begin(), pooled_.end(), true));
    const std::int64_t before_pools = weft::require::before_halvings(pools + 1) - 1;
    weft::require::image(task_.input, "alexnet", weft::require::before_stride(before_pools, stem_stride_),
                         "give fewer /pools, a smaller /stem_stride");
  }

  std::optional<weft::Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t convolution = taken.size() / 2;
    if (convolution >= pooled_.size()) return {};
    const bool filters = taken.size() % 2 == 0;
    return weft::Decision{.name = "convolution " + std::to_string(convolution + 1) + (filters ? "/filters" : "/kernel"),
                          .group = filters ? "filters" : "kernel",
                          .kind = weft::Decision::Kind::ordinal,
                          .options = filters ? filters_ : kernels_,
                          .step = static_cast<int>(convolution)};
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    const std::vector<Convolution> convolutions = to_convolutions(genotype);
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    for (std::size_t i = 0; i < convolutions.size(); ++i) {
      const auto group = graph.group("convolution " + std::to_string(i + 1));
      auto convolution =
          blocks::Convolution::square(convolutions[i].filters, convolutions[i].kernel, i == 0 ? stem_stride_ : 1);
      convolution.bias = true;  // there is no batch norm
      x = blocks::relu(graph, blocks::convolution(graph, x, convolution));
      if (pooled_[i]) x = graph.add("max_pool", {{"kernel", 3}, {"stride", 2}}, {x});
    }
    return {std::move(graph).build(add_classifier(graph, x))};
  }

  // 64@11 192@5 384@3 256@3 256@3: filters@kernel of each convolution.
  std::string notation(const weft::Genotype& genotype) const override {
    std::string text;
    for (const Convolution& convolution : to_convolutions(genotype)) {
      text +=
          (text.empty() ? "" : " ") + std::to_string(convolution.filters) + "@" + std::to_string(convolution.kernel);
    }
    return text;
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation,
                                "64@11 192@5 .., here of " + std::to_string(pooled_.size()) + " convolutions");
    weft::Genotype genotype;
    for (std::size_t i = 0; i < pooled_.size(); ++i) {
      genotype.decisions.push_back(static_cast<std::int32_t>(reader.option(filters_, "a number of filters")));
      reader.expect("@");
      genotype.decisions.push_back(static_cast<std::int32_t>(reader.option(kernels_, "a kernel")));
    }
    reader.expect_end();
    return genotype;
  }

 private:
  std::vector<Convolution> to_convolutions(const weft::Genotype& genotype) const {
    walk(genotype);
    const auto number = [&](std::size_t at, const std::vector<std::string>& options) {
      return std::stoll(options[static_cast<std::size_t>(genotype.decisions[at])]);
    };
    std::vector<Convolution> convolutions;
    for (std::size_t i = 0; i < pooled_.size(); ++i) {
      convolutions.push_back({number(2 * i, filters_), number(2 * i + 1, kernels_)});
    }
    return convolutions;
  }

  NodeId add_classifier(ArchitectureBuilder& graph, NodeId x) const {
    const auto group = graph.group("classifier");
    x = graph.add("flatten", {}, {x});
    for (const std::int64_t neurons : neurons_) {
      if (dropout_ > 0.0) x = graph.add("dropout", {{"probability", dropout_}}, {x});
      x = blocks::relu(graph, graph.add("linear", {{"features", neurons}}, {x}));
    }
    return graph.add("linear", {{"features", task_.classes}}, {x});
  }

  std::vector<std::string> filters_;
  std::vector<std::string> kernels_;
  std::vector<bool> pooled_;  // whether a pooling follows, for each convolution
  std::int64_t stem_stride_;
  std::vector<std::int64_t> neurons_;
  double dropout_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<AlexNet>("alexnet"))
