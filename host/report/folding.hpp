// What in an architecture is one thing in a picture: nodes that compute one operation together, cells, kinds of cells.
//
// What is a cell and what is one operation is read from the nodes' groups (Node::group). A component with a running
// number ("normal 3", "block 2") is a place; one without ("sep_conv_3x3", "stem") names what its nodes compute
// together.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weft/architecture.hpp"

namespace weft::host {

class Folding {
 public:
  using Index = std::size_t;
  static Index at(NodeId id) { return static_cast<Index>(id); }

  // Drawn as one unit: nodes that compute one operation together.
  struct Box {
    std::vector<NodeId> members = {};
    std::string composite = {};      // the group's name, where the box is a folded group
    std::vector<Index> inputs = {};  // boxes read, each once, ascending
    Index place = 0;
  };

  // One entry of the skeleton: a cell, a stem, or a box that is in no group.
  struct Place {
    std::string name;  // of the outermost group; empty for a box that is in none
    std::vector<Index> boxes = {};
    std::vector<Index> sources = {};  // boxes of other places that are read, the latest first
    Index kind = 0;
  };

  // Cells that are equal but for their number of channels. They are also counted equal where one adapts an input by a
  // 1x1 convolution and another by a factorized reduction, as papers do.
  struct Kind {
    std::string name;
    std::vector<Index> places = {};
    Index example = 0;  // the place that is drawn: one whose inputs come from as many places as they can
    std::map<std::size_t, std::set<std::string>> adapters = {};  // colour of a box -> its labels in all places
  };

  // `architecture` outlives this object.
  explicit Folding(const Architecture& architecture);

  const Architecture& architecture() const { return architecture_; }
  std::span<const Node> nodes() const { return nodes_; }
  // Of the groups of each node, outermost first: equal for nodes that are drawn in one cluster.
  const std::vector<std::vector<std::string>>& keys() const { return keys_; }
  const std::vector<Box>& boxes() const { return boxes_; }
  const std::vector<Place>& places() const { return places_; }
  const std::vector<Kind>& kinds() const { return kinds_; }

  bool is_place(std::string_view component) const;
  // Read by another place, or the network's output.
  bool is_output(Index box) const;
  // A colour for each box of the place, equal where boxes have equal surroundings. `sources_differ`: whether it matters
  // which of the other places an input comes from.
  std::map<Index, std::size_t> colours(const Place& place, bool sources_differ) const;
  // What a box is called; `channels`: with its number of channels.
  std::string label(const Box& box, bool channels) const;

 private:
  void split_groups();
  void fold();
  bool continues_run(Index id) const;
  void find_places();
  bool adapts(const Box& box) const;
  std::string signature(const Place& place, bool sources_differ) const;
  void find_kinds();
  std::string run_label(const Box& box, bool channels) const;
  std::string adapter_label(const Box& box) const;

  const Architecture& architecture_;
  std::span<const Node> nodes_;
  std::vector<std::vector<NodeId>> readers_;
  std::set<std::string> operations_;  // names of groups without a number
  std::vector<std::vector<std::string>> keys_;
  std::vector<Box> boxes_;
  std::vector<Index> box_of_;
  std::vector<Place> places_;
  std::vector<Kind> kinds_;
};

}  // namespace weft::host
