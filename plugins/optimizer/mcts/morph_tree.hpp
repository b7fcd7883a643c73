// A tree whose nodes are architectures and whose edges are morphs: it grows networks, which inherit weights.
//
// Wistuba 2018, "Finding Competitive Network Architectures Within a Day Using UCT" (arXiv 1712.07420). Architectures
// that are equal are one node, by whatever morphs they were reached, so that branches share statistics. From a leaf on
// morphs are drawn until they stop; the network at the end is trained, and its reward is backed up along the path and
// to that network's own node. To stop is one more edge of the tree, which ends with the node's network; but what was
// trained once is not trained again while there are morphs to follow.
//
// What is trained begins with the weights of the nearest of its ancestors that was trained itself: of those by whose
// morphs it was first reached, since names of nodes depend on the way. The root is trained before anything else.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tree.hpp"
#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/weight_transfer.hpp"

namespace mcts {

class MorphTree final : public Tree {
 public:
  explicit MorphTree(Search& search)
      : search_(search), draws_(search.rng.derive("morphs")), root_network_(parse(search.options.root)) {
    meet({root, {}}, {}, root_network_);
  }

  std::optional<Visit> visit(weft::Proposal& proposal) override {
    const Statistics& first = nodes_[root].statistics;
    if (first.visits == 0 && first.pending > 0) return {};
    std::vector<std::size_t> path = {root};
    bool stops = !first.tried();
    while (!stops && nodes_[path.back()].statistics.tried()) {
      if (const std::optional<std::size_t> child = select(path)) {
        path.push_back(*child);
      } else {
        stops = true;
      }
    }
    Visit visit{.predicted = mean_prediction(path.back(), stops)};
    visit.end = stops ? path.back() : roll_out(path.back());
    if (!contains(path, visit.end)) path.push_back(visit.end);
    for (const std::size_t index : path) visit.path.push_back(&nodes_[index].statistics);
    visit.path.push_back(&nodes_[visit.end].alone);
    propose(visit.end, proposal);
    return visit;
  }

  void completed(const Visit& visit, weft::TrialId trial, double reward) override {
    if (search_.options.retained == 0) return;
    Node& node = nodes_[visit.end];
    // What is no better may be a copy of an earlier result, of a trial whose weights are gone.
    if (reward <= node.reward) return;
    node.reward = reward;
    if (!node.trial) retained_.push_back(visit.end);
    node.trial = trial;
    if (retained_.size() > search_.options.retained) let_one_go();
  }

  std::optional<std::vector<weft::TrialId>> retain() const override {
    if (search_.options.retained == 0) return {};
    std::vector<weft::TrialId> trials;
    for (const std::size_t index : retained_) trials.push_back(*nodes_[index].trial);
    return trials;
  }

 private:
  struct Node {
    std::size_t parent;  // of which it was first made, by this morph
    weft::Json morph;
    Encoding encoding;  // empty without a surrogate
    Statistics statistics = {};
    Statistics alone = {};  // of the trials of this network itself
    bool expanded = false;
    std::vector<std::size_t> children = {};
    double reward = -std::numeric_limits<double>::infinity();  // the highest of its trials
    std::optional<weft::TrialId> trial = {};                   // that had it, while its weights are retained
  };
  static constexpr std::size_t root = 0;

  // A node with its network, whose genotype is the one that its parent's morph made.
  struct Place {
    std::size_t node;
    weft::Genotype network;
  };

  weft::Genotype parse(const std::string& notation) const {
    try {
      return search_.space.parse(notation);
    } catch (const weft::InvalidInput& error) {
      throw weft::InvalidInput("/root is \"" + notation + "\", which the space cannot read: " + error.what());
    }
  }

  static bool contains(const std::vector<std::size_t>& indices, std::size_t index) {
    return std::find(indices.begin(), indices.end(), index) != indices.end();
  }

  // ---- selection

  // A child, or nothing: the network is trained as it is. A child on the path is passed by, to which a morph leads that
  // takes back what others did.
  std::optional<std::size_t> select(const std::vector<std::size_t>& path) {
    expand(path.back());
    const Node& parent = nodes_[path.back()];
    std::vector<std::size_t> children;
    std::vector<double> scores;
    for (const std::size_t child : parent.children) {
      if (contains(path, child)) continue;
      children.push_back(child);
      scores.push_back(score(parent, nodes_[child].statistics, nodes_[child].encoding));
    }
    if (!parent.alone.tried() || children.empty()) scores.push_back(score(parent, parent.alone, parent.encoding));
    const std::size_t best = search_.best_of(scores);
    return best < children.size() ? std::optional(children[best]) : std::nullopt;
  }

  double score(const Node& parent, const Statistics& child, const Encoding& encoding) const {
    if (child.tried()) return search_.uct.score(parent.statistics, child);
    return search_.uct.score_of_untried(
        parent.statistics,
        search_.has_priors() ? std::optional<double>(search_.model.predict({encoding})(0)) : std::nullopt);
  }

  void expand(std::size_t index) {
    if (nodes_[index].expanded) return;
    const Place place = place_of(index);
    std::vector<std::size_t> children;
    for (const weft::Json& morph : search_.space.morphs(place.network)) {
      const std::size_t child = meet(place, morph, made_by(place, morph));
      if (!contains(children, child)) children.push_back(child);
    }
    nodes_[index].children = std::move(children);
    nodes_[index].expanded = true;
  }

  // ---- simulation

  std::size_t roll_out(std::size_t leaf) {
    const std::vector<std::size_t> ends = random_ends(leaf, search_.options.rollouts);
    if (ends.size() == 1 || !search_.model.fitted()) return ends.front();
    return ends[search_.most_promising(encodings(ends))];
  }

  std::optional<double> mean_prediction(std::size_t leaf, bool stops) {
    if (search_.options.predictions == 0 || !search_.model.fitted()) return {};
    const std::vector<std::size_t> ends =
        stops ? std::vector<std::size_t>{leaf} : random_ends(leaf, search_.options.predictions);
    return search_.model.predict(encodings(ends)).mean();
  }

  std::vector<std::size_t> random_ends(std::size_t leaf, std::size_t count) {
    const Place from = place_of(leaf);
    std::vector<std::size_t> ends;
    for (std::size_t i = 0; i < count; ++i) ends.push_back(random_end(from));
    return ends;
  }

  std::size_t random_end(Place at) {
    for (std::size_t made = 0; made < search_.options.rollout_morphs; ++made) {
      if (search_.rng.bernoulli(search_.options.stop_probability)) break;
      const std::optional<weft::Json> morph = search_.space.draw_morph(at.network, search_.rng);
      if (!morph) break;
      at = go(at, *morph);
    }
    return at.node;
  }

  std::vector<Encoding> encodings(const std::vector<std::size_t>& indices) const {
    std::vector<Encoding> encodings;
    for (const std::size_t index : indices) encodings.push_back(nodes_[index].encoding);
    return encodings;
  }

  // ---- the tree

  // What a morph leaves open is drawn for the node that it may lead to, and the same whenever it is made again.
  weft::Morphisms::Child morphed(const weft::Genotype& network, const weft::Json& morph, std::size_t node) const {
    weft::Rng draws = draws_.derive("node", node);
    return search_.space.morph(network, morph, draws);
  }
  weft::Genotype made_by(const Place& from, const weft::Json& morph) const {
    return morphed(from.network, morph, nodes_.size()).genotype;
  }

  // The node of what a morph has made: the one that there is of that architecture, or a new one.
  std::size_t meet(const Place& from, const weft::Json& morph, const weft::Genotype& made) {
    const auto [known, is_new] = by_hash_.try_emplace(search_.space.decode(made).hash(), nodes_.size());
    if (is_new) {
      nodes_.push_back({.parent = from.node,
                        .morph = morph,
                        .encoding = search_.model.exists() ? search_.model.encode(made) : Encoding()});
    }
    return known->second;
  }

  Place go(const Place& from, const weft::Json& morph) {
    const std::size_t next = nodes_.size();
    weft::Genotype made = made_by(from, morph);
    const std::size_t node = meet(from, morph, made);
    return node == next ? Place{node, std::move(made)} : place_of(node);
  }

  // From the root to the node, by the morphs that first made it.
  std::vector<std::size_t> lineage(std::size_t index) const {
    std::vector<std::size_t> line = {index};
    while (line.back() != root) line.push_back(nodes_[line.back()].parent);
    std::reverse(line.begin(), line.end());
    return line;
  }

  Place place_of(std::size_t index) const {
    weft::Genotype network = root_network_;
    for (const std::size_t node : lineage(index)) {
      if (node != root) network = morphed(network, nodes_[node].morph, node).genotype;
    }
    return {index, std::move(network)};
  }

  // The node's network, with the weights of its nearest ancestor that has some.
  void propose(std::size_t index, weft::Proposal& proposal) const {
    weft::WeightTransfer transfer;
    proposal.genotype = root_network_;
    for (const std::size_t node : lineage(index)) {
      if (node != root) {
        weft::Morphisms::Child child = morphed(proposal.genotype, nodes_[node].morph, node);
        proposal.genotype = std::move(child.genotype);
        if (proposal.parent) transfer.append(std::move(child.transfer));
      }
      if (node != index && nodes_[node].trial) {
        proposal.parent = nodes_[node].trial;
        transfer = {};
      }
    }
    if (proposal.parent) proposal.transfer = transfer.to_json();
  }

  // ---- whose weights are retained

  // Of the worse half, by reward, the one that was visited least: so the best stay, and those below which the search
  // goes on. The root always stays.
  void let_one_go() {
    std::vector<std::size_t> others;
    for (const std::size_t index : retained_) {
      if (index != root) others.push_back(index);
    }
    std::stable_sort(others.begin(), others.end(),
                     [&](std::size_t a, std::size_t b) { return nodes_[a].reward > nodes_[b].reward; });
    const auto fewer_visits = [&](std::size_t a, std::size_t b) {
      return nodes_[a].statistics.visits < nodes_[b].statistics.visits;
    };
    const auto worse_half = others.rend() - static_cast<std::ptrdiff_t>(others.size() / 2);
    const std::size_t gone =
        *std::min_element(others.rbegin(), worse_half, fewer_visits);  // the worst, of as many visits
    nodes_[gone].trial.reset();
    std::erase(retained_, gone);
  }

  Search& search_;
  weft::Rng draws_;  // what nodes' draws are derived from
  weft::Genotype root_network_;
  std::deque<Node> nodes_;                                  // the root first; what visits point to stays where it is
  std::unordered_map<std::uint64_t, std::size_t> by_hash_;  // of the candidate
  std::vector<std::size_t> retained_;                       // nodes that have a trial
};

}  // namespace mcts
