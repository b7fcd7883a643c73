// A DARTS genotype as cells: what decisions, JSON and the DARTS notation all describe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "weft/json.hpp"

namespace darts {

// The operations of the search space, and those that published genotypes in DARTS notation use besides.
inline const std::vector<std::string> search_operations = {
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"};
// Of each edge of the supernet, in the order of the authors' code (quark0/darts, cnn/genotypes.py).
inline const std::vector<std::string> supernet_operations = {"none",         "max_pool_3x3", "avg_pool_3x3",
                                                             "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
                                                             "dil_conv_3x3", "dil_conv_5x5"};
inline const std::vector<std::string> other_operations = {"none", "sep_conv_7x7", "conv_7x1_1x7"};

// States are numbered as in DARTS: 0 is the output of the cell before the previous one, 1 that of the previous one, 2
// the first node.
struct Edge {
  std::string operation;
  int input = 0;

  friend bool operator==(const Edge&, const Edge&) = default;
};

struct Cell {
  std::vector<Edge> edges;  // two into each node, node by node
  std::vector<int> concat;  // the states that make up the output

  int states() const { return 2 + static_cast<int>(edges.size() / 2); }
  friend bool operator==(const Cell&, const Cell&) = default;
};

struct Cells {
  Cell normal;
  Cell reduce;

  friend bool operator==(const Cells&, const Cells&) = default;

  // {"normal": [["sep_conv_3x3", 0], ..], "normal_concat": [2, ..], "reduce": .., "reduce_concat": ..}.
  weft::Json to_json() const;
  static Cells from_json(const weft::Json& json);

  // Genotype(normal=[('sep_conv_3x3', 0), ..], normal_concat=[2, 3, 4, 5], reduce=[..], reduce_concat=[2, 3, 4, 5]).
  std::string to_text() const;
  // Also accepts range(2, 6) for [2, 3, 4, 5], as DARTS prints it.
  static Cells from_text(std::string_view text);
};

}  // namespace darts
