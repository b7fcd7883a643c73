// The evaluation networks of DARTS: cells stacked for CIFAR or for ImageNet.
#pragma once

#include <cstdint>

#include "cells.hpp"
#include "weft/architecture.hpp"
#include "weft/context.hpp"

namespace darts {

enum class Template { cifar, imagenet };

struct Network {
  Template stem;
  std::int64_t channels;  // C
  int layers;             // cells
  bool auxiliary;
};

// Throws InvalidInput if the cells do not fit together or the task.
weft::Architecture build(const Network& network, const Cells& cells, const weft::Task& task);

}  // namespace darts
