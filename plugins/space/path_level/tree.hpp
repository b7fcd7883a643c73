// A cell as a tree: what arrives at a node goes along its branches, each an operation that ends in another node, and
// comes back merged; a leaf returns what arrives.
//
// Cai, Yang, Zhang, Han, Yu 2018, "Path-Level Network Transformation for Efficient Architecture Search", section 3.2.
// How a node allocates follows from how it merges, as the two are equivalent to an identity only in pairs: every branch
// gets a copy and their results are averaged ("add"), or each gets its share of the channels and the results lie side
// by side ("concat").
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/notation_reader.hpp"

namespace path_level {

using weft::InvalidInput;
using weft::Json;

struct Branch;

struct Node {
  std::string merge = "none";  // of a leaf and of a single branch; else "add" or "concat"
  std::vector<Branch> branches = {};
};

struct Branch {
  std::string operation;
  Node node = {};  // where it ends
};

inline bool is_leaf(const Node& node) { return node.branches.empty(); }

// An identity that ends in a leaf, and nothing beside it: there branches can be put in.
inline bool is_plain(const Node& node) {
  return node.branches.size() == 1 && node.branches[0].operation == "identity" && is_leaf(node.branches[0].node);
}

// Branches on the longest way to a leaf.
inline std::size_t height(const Node& node) {
  std::size_t highest = 0;
  for (const Branch& branch : node.branches) highest = std::max(highest, 1 + height(branch.node));
  return highest;
}

// How many of `channels` each branch gets: of a split that does not come out even the first ones one more.
inline std::vector<std::int64_t> allocation(const Node& node, std::int64_t channels) {
  const auto count = static_cast<std::int64_t>(node.branches.size());
  std::vector<std::int64_t> shares(node.branches.size(), channels);
  if (node.merge != "concat") return shares;
  for (std::int64_t i = 0; i < count; ++i)
    shares[static_cast<std::size_t>(i)] = channels / count + (i < channels % count ? 1 : 0);
  return shares;
}

// ---- as JSON: {"merge": "add", "branches": [{"operation": "sep_conv_3x3", "node": {..}} ..]} ----------------------
//
// A leaf is left out, and "merge" where there is one branch.

inline Json to_json(const Node& node) {
  Json json = Json::object();
  if (node.branches.size() > 1) json["merge"] = node.merge;
  for (const Branch& branch : node.branches) {
    Json written = {{"operation", branch.operation}};
    if (!is_leaf(branch.node)) written["node"] = to_json(branch.node);
    json["branches"].push_back(std::move(written));
  }
  return json;
}

namespace detail {

inline void only(const Json& json, const std::string& place, std::initializer_list<std::string_view> members) {
  if (!json.is_object())
    throw InvalidInput("the tree" + place + " must be an object, not " + json.dump().substr(0, 200));
  for (const auto& [name, value] : json.items()) {
    if (std::find(members.begin(), members.end(), name) == members.end())
      throw InvalidInput("the tree" + place + "/" + name + " is nothing that belongs there");
  }
}

inline std::string text(const Json& json, const char* member, const std::string& place) {
  if (!json.contains(member) || !json.at(member).is_string())
    throw InvalidInput("the tree" + place + " must have " + member + ", a text");
  return json.at(member);
}

}  // namespace detail

// Throws InvalidInput naming the place. Which operations and how many branches there may be, the space knows.
inline Node read_node(const Json& json, const std::string& place = {}) {
  detail::only(json, place, {"merge", "branches"});
  const Json branches = json.value("branches", Json::array());
  if (!branches.is_array() || branches.empty())
    throw InvalidInput("the tree" + place + " must have branches, at least one; a leaf is left out");
  Node node;
  if (branches.size() > 1) {
    node.merge = detail::text(json, "merge", place);
  } else if (json.contains("merge")) {
    throw InvalidInput("the tree" + place + "/merge must be left out: there is one branch");
  }
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const std::string here = place + "/branches/" + std::to_string(i);
    detail::only(branches[i], here, {"operation", "node"});
    Branch& branch = node.branches.emplace_back(detail::text(branches[i], "operation", here));
    if (branches[i].contains("node")) branch.node = read_node(branches[i].at("node"), here + "/node");
  }
  return node;
}

// ---- in words: add(sep_conv_3x3, identity > concat(avg_pool_3x3, identity)) ---------------------------------------

inline std::string to_text(const Node& node) {
  std::string text;
  for (const Branch& branch : node.branches) {
    if (!text.empty()) text += ", ";
    text += branch.operation;
    if (!is_leaf(branch.node)) text += " > " + to_text(branch.node);
  }
  return node.branches.size() > 1 ? node.merge + "(" + text + ")" : text;
}

namespace detail {

// `merge` was read, as any other word.
inline Node read_node(weft::NotationReader& reader, std::size_t most_levels) {
  if (most_levels == 0) reader.fail("no further node: the tree is too high");
  Node node;
  const auto branch = [&](std::string operation) {
    Branch& added = node.branches.emplace_back(std::move(operation));
    if (reader.accept(">")) added.node = read_node(reader, most_levels - 1);
  };
  const std::string first(reader.word("an operation or a merge"));
  if (!reader.accept("(")) {
    branch(first);
    return node;
  }
  node.merge = first;
  do {
    branch(std::string(reader.word("an operation")));
  } while (reader.accept(","));
  reader.expect(")");
  if (node.branches.size() < 2) reader.fail("a second branch of " + first + " before this");
  return node;
}

}  // namespace detail

// Throws InvalidInput with the position.
inline Node read_node(std::string_view text, std::size_t most_levels) {
  weft::NotationReader reader(text, "add(sep_conv_3x3, identity > concat(avg_pool_3x3, identity))");
  Node node = detail::read_node(reader, most_levels);
  reader.expect_end();
  return node;
}

}  // namespace path_level
