// The network around a recurrent cell that predicts, at every position of a text, the token that follows:
//
//   tokens (T x 1) -> embedding -> dropout -> layers x (recurrent -> dropout) -> linear, to the vocabulary
//
// What a layer reads may be dropped once more, and what it computes be slowed down (the operation `slowness`).
//
// If `tied`, the last layer's weights are the embedding's: Press, Wolf 2017, "Using the Output Embedding to Improve
// Language Models"; Inan, Khosravi, Socher 2017, "Tying Word Vectors and Word Classifiers".
//
// Zaremba, Sutskever, Vinyals 2014, "Recurrent Neural Network Regularization": dropout is on the connections between
// layers alone. Gal, Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks":
// one mask for all positions, also of the recurrent connections, and whole tokens left out.
//
// Called by spaces of recurrent cells: constructed once, build() in decode. Const members may be called from any
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "weft/architecture.hpp"
#include "weft/context.hpp"

namespace weft {

class LanguageModel {
 public:
  // The attributes `cell` and `states` of the operation `recurrent`, for a cell of `features` units that reads
  // `inputs`.
  using Cell = std::function<Attributes(std::int64_t inputs, std::int64_t features)>;

  // From the parameters layers, features, dropout, dropout_kind, embedding_dropout, state_dropout and match_parameters;
  // and from these, which may be absent: embedding_features, tied, input_dropout, in place of dropout behind the
  // embedding, layer_dropout, of what each layer reads, and slowness. A cell whose attributes have a state_dropout does
  // with it what it wants. match_parameters, if not 0, chooses the features in
  // place of the parameter: as many as the network around `cell` can have without more parameters than that. Throws
  // InvalidInput if it has more with one feature, if what is tied would differ in size, and if the task is not one of
  // texts.
  LanguageModel(const Context& context, const Cell& cell)
      : layers_(context.get<int>("layers")),
        features_(context.get<std::int64_t>("features")),
        tied_(context.configuration().value("tied", false)),
        dropout_(context.get<double>("dropout")),
        input_dropout_(context.configuration().value("input_dropout", dropout_)),
        layer_dropout_(context.configuration().value("layer_dropout", 0.0)),
        slowness_(context.configuration().value("slowness", 0.0)),
        dropout_operation_(context.get<std::string>("dropout_kind") == "locked" ? "locked_dropout" : "dropout"),
        embedding_dropout_(context.get<double>("embedding_dropout")),
        state_dropout_(context.get<double>("state_dropout")),
        task_(context.task()) {
    if (context.configuration().contains("embedding_features")) {
      embedding_features_ = context.get<std::int64_t>("embedding_features");
    }
    if (task_.input.kind != Shape::Kind::sequence || task_.input.channels != 1) {
      throw InvalidInput("the task's input is " + task_.input.to_string() +
                         "; a language model needs a sequence of token numbers, positions x 1: the data set must be "
                         "one of texts");
    }
    if (tied_ && embedding_features_) {
      throw InvalidInput("/tied is true and /embedding_features is " + std::to_string(*embedding_features_) +
                         "; tied weights have as many features as the hidden layers: leave embedding_features away");
    }
    const auto limit = context.get<std::int64_t>("match_parameters");
    if (limit > 0) features_ = most_features(cell, limit);
  }

  Architecture build(const Cell& cell) const { return build(cell, features_); }

 private:
  Architecture build(const Cell& cell, std::int64_t features) const {
    ArchitectureBuilder graph;
    NodeId x = graph.input(task_.input);
    NodeId embedding = 0;
    {
      const auto group = graph.group("embedding");
      embedding = graph.add("embedding",
                            {{"vocabulary", task_.classes},
                             {"features", embedding_features_.value_or(features)},
                             {"dropout", embedding_dropout_}},
                            {x});
      x = drop(graph, embedding, input_dropout_);
    }
    for (int layer = 1; layer <= layers_; ++layer) {
      const auto group = graph.group("layer " + std::to_string(layer));
      x = drop(graph, x, layer_dropout_);
      Attributes recurrent = cell(graph.shape(x).channels, features);
      if (!recurrent.contains("state_dropout")) recurrent["state_dropout"] = state_dropout_;
      x = graph.add("recurrent", std::move(recurrent), {x});
      if (slowness_ > 0.0) x = graph.add("slowness", {{"weight", slowness_}}, {x});
      x = drop(graph, x, dropout_);
    }
    const auto group = graph.group("decoder");
    const Attributes to_vocabulary = {{"features", task_.classes}};
    x = tied_ ? graph.add("tied_linear", to_vocabulary, {x, embedding}) : graph.add("linear", to_vocabulary, {x});
    return std::move(graph).build(x);
  }

  NodeId drop(ArchitectureBuilder& graph, NodeId input, double probability) const {
    if (probability == 0.0) return input;
    return graph.add(dropout_operation_, {{"probability", probability}}, {input});
  }

  std::int64_t most_features(const Cell& cell, std::int64_t limit) const {
    const auto parameters = [&](std::int64_t features) { return build(cell, features).cost().parameters; };
    const std::int64_t least = parameters(1);
    if (least > limit) {
      throw InvalidInput("/match_parameters is " + std::to_string(limit) + "; must be at least " +
                         std::to_string(least) + ", which the network has with one feature");
    }
    std::int64_t fits = 1;
    std::int64_t exceeds = 2;
    while (parameters(exceeds) <= limit) {
      fits = exceeds;
      exceeds *= 2;
    }
    while (exceeds - fits > 1) {
      const std::int64_t middle = (fits + exceeds) / 2;
      (parameters(middle) <= limit ? fits : exceeds) = middle;
    }
    return fits;
  }

  int layers_;
  std::int64_t features_;
  std::optional<std::int64_t> embedding_features_;  // as many as features_ unless given
  bool tied_;
  double dropout_, input_dropout_, layer_dropout_;
  double slowness_;
  std::string dropout_operation_;
  double embedding_dropout_;
  double state_dropout_;
  Task task_;
};

}  // namespace weft
