// The encoder network: a bidirectional LSTM over the tokens of a network's layers.
//
// Cai et al. 2018, "Efficient Architecture Search by Network Transformation", section 3.1. Two LSTMs of
// weft/controllers/lstm.hpp, one of which reads the tokens in reverse. What they read is narrower than their units: the
// rest is zeros, whose weights never count.
//
// Parameters begin as in the authors' code (han-cai/EAS, meta_controller/base_controller.py): embeddings uniform with
// variance 1, weights uniform as Glorot and Bengio 2010 have it. The biases are drawn with the weights; there they are
// 0 and that of the forget gate 1.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "weft/controllers/lstm.hpp"
#include "weft/controllers/parameters.hpp"
#include "weft/rng.hpp"

namespace eas {

using weft::Rng;
using weft::controllers::Block;
using weft::controllers::Lstm;
using weft::controllers::Parameters;
using weft::controllers::Vector;

inline const double embedding_range = std::sqrt(3.0);

inline double glorot_range(Eigen::Index inputs, Eigen::Index outputs) {
  return std::sqrt(6.0 / static_cast<double>(inputs + outputs));
}

// Of one layer of `units` that reads `inputs` numbers, followed by zeros.
inline Lstm narrow_lstm(Parameters& parameters, Eigen::Index inputs, Eigen::Index units, const Rng& rng) {
  return Lstm(parameters, 1, units, glorot_range(inputs + units, 4 * units), rng);
}
inline Vector followed_by_zeros(const Vector& input, Eigen::Index units) {
  Vector read = Vector::Zero(units);
  read.head(input.size()) = input;
  return read;
}

class Encoder {
 public:
  static constexpr std::size_t directions = 2;

  struct Encoding {
    // Of each direction its steps in the order in which they were made: the second's first step read the last token.
    std::array<std::vector<Lstm::Step>, directions> steps;

    // At a token, 2 units: what read the tokens up to it, and what read those from it on.
    Vector output(std::size_t token) const {
      return beside(steps[0][token].output(), steps[1][steps[1].size() - 1 - token].output());
    }
    // A step whose output and cell, 2 units each, are those of both directions' last steps: where a decoder begins.
    Lstm::Step state() const {
      const Lstm::Step::Layer &first = steps[0].back().layers[0], &second = steps[1].back().layers[0];
      Lstm::Step::Layer both;
      both.output = beside(first.output, second.output);
      both.cell = beside(first.cell, second.cell);
      return {{both}};
    }

   private:
    static Vector beside(const Vector& first, const Vector& second) {
      return (Vector(first.size() + second.size()) << first, second).finished();
    }
  };

  // `embedding` numbers stand for a token; at most `units`.
  Encoder(Parameters& parameters, Eigen::Index embedding, Eigen::Index units, const Rng& rng)
      : rng_(rng),
        embedding_(embedding),
        units_(units),
        lstms_{narrow_lstm(parameters, embedding, units, rng.derive("forward")),
               narrow_lstm(parameters, embedding, units, rng.derive("backward"))} {}

  // Tokens get their embeddings when they are first met, from a random stream of their own.
  void meet(Parameters& parameters, const std::vector<std::string>& tokens) {
    for (const std::string& token : tokens) {
      if (!embeddings_.contains(token))
        embeddings_[token] = parameters.add(embedding_, 1, embedding_range, rng_.derive("token " + token));
    }
  }

  // Of at least one token, all of which it has met.
  Encoding encode(const Parameters& parameters, const std::vector<std::string>& tokens) const {
    Encoding encoding;
    for (std::size_t direction = 0; direction < directions; ++direction) {
      std::vector<Lstm::Step>& steps = encoding.steps[direction];
      steps.reserve(tokens.size());
      for (std::size_t step = 0; step < tokens.size(); ++step) {
        const Vector embedding = parameters[embeddings_.at(tokens[read_by(direction, step, tokens.size())])];
        steps.push_back(lstms_[direction].forward(parameters, followed_by_zeros(embedding, units_),
                                                  step == 0 ? nullptr : &steps[step - 1]));
      }
    }
    return encoding;
  }

  // Adds to the gradient of `parameters` what follows from those of the outputs, by token, and of the state; each may
  // be empty, where nothing follows from it.
  void backward(Parameters& parameters, const std::vector<std::string>& tokens, const Encoding& encoding,
                const std::vector<Vector>& outputs, const Lstm::Carry& state) const {
    for (std::size_t direction = 0; direction < directions; ++direction) {
      const auto half = [&](const Vector& both) -> Vector {
        return both.segment(static_cast<Eigen::Index>(direction) * units_, units_);
      };
      const std::vector<Lstm::Step>& steps = encoding.steps[direction];
      Lstm::Carry carry = lstms_[direction].no_carry();
      if (!state.output.empty()) carry = {{half(state.output[0])}, {half(state.cell[0])}};
      for (std::size_t step = steps.size(); step-- > 0;) {
        const std::size_t token = read_by(direction, step, steps.size());
        const Vector output = outputs.empty() ? Vector(Vector::Zero(units_)) : half(outputs[token]);
        const Vector read =
            lstms_[direction].backward(parameters, steps[step], step == 0 ? nullptr : &steps[step - 1], output, carry);
        parameters.gradient(embeddings_.at(tokens[token])) += read.head(embedding_);
      }
    }
  }

 private:
  static std::size_t read_by(std::size_t direction, std::size_t step, std::size_t tokens) {
    return direction == 0 ? step : tokens - 1 - step;
  }

  Rng rng_;
  Eigen::Index embedding_;
  Eigen::Index units_;
  std::array<Lstm, directions> lstms_;
  std::map<std::string, Block> embeddings_;
};

}  // namespace eas
