// Networks of the NASNet search space: a normal and a reduction cell, stacked for CIFAR or for ImageNet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/blocks.hpp"
#include "weft/context.hpp"

namespace nasnet {

// States of a cell: 0 is the output of the previous cell (h_i), 1 that of the one before (h_{i-1}), 2 the first block.
struct Operand {
  std::string operation;
  std::size_t state = 0;
};

struct Block {
  Operand first;
  Operand second;
  bool concat = false;  // else added
};

using Cell = std::vector<Block>;

enum class Template { cifar, imagenet };

// Which states make up a cell's output.
enum class Concatenation {
  unused,   // the blocks that no other block reads (the paper)
  released  // also states 1 and up of normal cells, 3 and up of reduction cells: what the released NASNet-A
            // concatenates
};

struct Network {
  Template stem;
  std::int64_t cells;            // N: normal cells in each of the three stacks
  std::int64_t filters;          // F: of each block in the first stack
  std::int64_t stem_multiplier;  // channels of the stem's convolution: x F (CIFAR), x 32 (ImageNet)
  Concatenation concatenation;
  double dropout;  // before the classifier
  bool auxiliary;
  bool skip_reduction;  // a normal cell after a reduction reads what the reduction read as h_{i-1}
  bool bottleneck;      // convolutions that are not separable work on fewer channels
  weft::blocks::Padding padding;
};

// Throws InvalidInput if the network does not fit the task.
weft::Architecture build(const Network& network, const Cell& normal, const Cell& reduction, const weft::Task& task);

}  // namespace nasnet
