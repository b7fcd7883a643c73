// The splits of density matching: parts to train on, and parts that are held out to measure policies on.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "weft/rng.hpp"
#include "weft/torch/dataset.hpp"

namespace density_matching {

struct Parts {
  weft::Split train, held_out;
};

inline weft::Split pick(const weft::Split& split, const std::vector<std::int64_t>& examples) {
  const at::Tensor index = at::tensor(examples, at::kLong);
  return {split.images.index_select(0, index).contiguous(at::MemoryFormat::ChannelsLast),
          split.labels.index_select(0, index)};
}

// Of each class `share` of the examples, rounded, is held out: which ones is drawn. Both parts are in random order.
inline Parts parted(const weft::Split& all, std::int64_t classes, double share, weft::Rng rng) {
  std::vector<std::vector<std::int64_t>> of_class(static_cast<std::size_t>(classes));
  const std::int64_t* label = all.labels.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < all.size(); ++i) of_class[static_cast<std::size_t>(label[i])].push_back(i);
  std::vector<std::int64_t> train, held_out;
  for (std::vector<std::int64_t>& examples : of_class) {
    rng.shuffle(examples);
    const auto held = examples.begin() + std::llround(share * static_cast<double>(examples.size()));
    held_out.insert(held_out.end(), examples.begin(), held);
    train.insert(train.end(), held, examples.end());
  }
  rng.shuffle(train);
  rng.shuffle(held_out);
  return {pick(all, train), pick(all, held_out)};
}

}  // namespace density_matching
