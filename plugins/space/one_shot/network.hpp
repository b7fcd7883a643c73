// The networks of the one-shot space: one architecture, or all of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/context.hpp"

namespace one_shot {

// An operation on a state of the cell. State 0 is the output of the cell before the previous one, 1 that of the
// previous one, 2 that of the first choice block.
struct Pair {
  std::size_t state;
  std::size_t operation;  // of the network's

  friend bool operator==(const Pair&, const Pair&) = default;
};

using Block = std::vector<Pair>;  // one, or two that differ: they are added
using Cell = std::vector<Block>;

enum class Reduction { pool, cell };

struct Network {
  std::int64_t cells;
  std::size_t blocks;                   // of a cell
  std::int64_t filters;                 // of each block before the first reduction
  std::vector<std::string> operations;  // to choose from
  Reduction reduction;

  // Of cells, which those of a type share.
  std::vector<std::string> types() const {
    if (reduction == Reduction::pool) return {"cell"};
    return {"normal", "reduction"};
  }
  std::size_t states(std::size_t block) const { return 2 + block; }  // that a block may read
};

// Of the supernet: what a block does with a state, in all cells of a type. Option 0 is "none", the others are the
// operations.
inline std::string decision_of(const std::string& type, std::size_t block, std::size_t state) {
  return type + "/block " + std::to_string(block + 1) + "/input " + std::to_string(state);
}

// `cells` by type.
weft::Architecture build(const Network& network, const std::vector<Cell>& cells, const weft::Task& task);

weft::Architecture build_supernet(const Network& network, const weft::Task& task);

}  // namespace one_shot
