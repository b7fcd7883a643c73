// Counter-based random streams: the only source of randomness in Weft.
//
// A stream is (key, stream, counter); draw number n of a stream is a pure function of the three, so a stream can be
// copied, stored and resumed exactly, and streams for different plugins, trials and epochs are independent without
// being coordinated. The draws themselves are C functions, for plugins in other languages: weft/abi.h.
#pragma once

#include <array>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/abi.h"

namespace weft {

// The block function itself: ten rounds over a 128-bit counter with a 64-bit key.
inline std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  weft_philox4x32(counter.data(), (std::uint64_t{key[1]} << 32) | key[0]);
  return counter;
}

// FNV-1a: names of streams, and wherever text must become a stable number.
inline std::uint64_t hash_text(std::string_view text, std::uint64_t hash = WEFT_HASH_OF_NOTHING) {
  return weft_hash_text({text.data(), text.size()}, hash);
}

class Rng {
 public:
  using result_type = std::uint64_t;  // satisfies std::uniform_random_bit_generator

  explicit Rng(std::uint64_t seed, std::uint64_t stream = 0) : state_{seed, stream, 0} {}
  explicit Rng(const weft_rng& state) : state_(state) {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }

  result_type operator()() { return weft_rng_next(&state_); }

  // An independent stream, the same whenever it is derived: from a name, an index, or both.
  Rng derive(std::string_view name, std::uint64_t index = 0) const {
    return Rng(weft_rng_derive(&state_, {name.data(), name.size()}, index));
  }

  // Uniform over 0 .. count-1, without bias; count > 0.
  std::size_t below(std::size_t count) {
    assert(count > 0 && "nothing to draw from");
    return static_cast<std::size_t>(weft_rng_below(&state_, count));
  }

  // Uniform in [0, 1).
  double uniform() { return weft_rng_uniform(&state_); }

  // Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  bool bernoulli(double probability) { return uniform() < probability; }

  // Standard normal (Box-Muller; two draws each).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
    return radius * std::cos(2.0 * 3.14159265358979323846 * uniform());
  }

  template <typename T>
  const T& choice(std::span<const T> items) {
    return items[below(items.size())];
  }
  template <typename T>
  const T& choice(const std::vector<T>& items) {
    return items[below(items.size())];
  }

  // Index drawn with probability proportional to `weights`, which are >= 0 and not all 0.
  std::size_t weighted(std::span<const double> weights) {
    double remaining = uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
    std::size_t last = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] <= 0.0) continue;
      last = i;
      if ((remaining -= weights[i]) < 0.0) break;
    }
    return last;
  }

  // Fisher-Yates.
  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  const weft_rng& state() const { return state_; }

 private:
  weft_rng state_;
};

}  // namespace weft
