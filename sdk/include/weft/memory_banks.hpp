// Networks as patterns of reading from and writing to memory banks, and how they are drawn, decided and encoded.
//
// Brock, Lim, Ritchie, Weston 2018, "SMASH: One-Shot Model Architecture Search through HyperNetworks", section 3.1, and
// the authors' code (ajbrock/SMASH). Three blocks, each with banks of feature maps of one resolution. A layer reads
// some banks side by side, mixes them with a 1x1 convolution, applies up to four convolutions, and adds what comes out
// to some banks, piece by piece; a bank that was not written yet is opened by the first write, in order.
//
// For the space of these networks and for strategies that search it: the space's notation is Network::to_json() as
// text, its encoding is encode().
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "weft/decision.hpp"
#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"

namespace weft::memory_banks {

inline constexpr int blocks = 3;
inline constexpr int convolutions = 4;
inline constexpr std::array kernels = {3, 5, 7};
inline constexpr int most_dilation = 3;

// What the networks of a space have in common. Widths are told in units of `bank` channels.
struct Geometry {
  int depth = 12;         // layers per block of the wide residual network that sets the budget
  int width = 4;          // its widening factor
  int bank = 8;           // N: channels of a unit
  int largest_bank = 64;  // N_max: channels of the widest bank, and of the widest layer
  int compression = 4;    // D: units that are read per slot of the budget
  int groups = 8;         // of a convolution, at most
  // Share of its budget that a block may spend at least. It counts for what is drawn, not for what is encoded.
  double least_budget = 0.3;

  int units() const { return largest_bank / bank; }  // k: of the widest layer
  int base() const { return 2 * bank * width; }      // channels of the stem
  // Channels that a block is entered with, and that it has at most.
  int entering(int block) const { return block == 0 ? base() : most_channels(block - 1) / 2 / (2 * bank) * (2 * bank); }
  int most_channels(int block) const { return block == 2 ? 4 * base() : entering(block) + 2 * base(); }
  int most_banks() const { return 4 * base() / bank; }
  // The budget of a block: what its layers may read, compression * bank channels a slot.
  int slots(int block) const { return (entering(block) + depth * base() * (1 << block)) / (bank * compression); }
  int slots() const { return slots(0) + slots(1) + slots(2); }
  std::vector<int> group_counts() const {
    std::vector<int> counts;
    for (int count = 1; count <= std::min(groups, bank); ++count) {
      if (bank % count == 0) counts.push_back(count);
    }
    return counts;
  }

  // A layer of a block whose banks are `width` units wide reads a multiple of so many, of so many slots each time.
  int least_reads(int width) const { return width % compression == 0 ? 1 : compression; }
  int slots_of(int reads, int width) const { return reads * width / compression; }
  int least_slots(int width) const { return slots_of(least_reads(width), width); }
  // Banks that are written by the block's input.
  int first_banks(int block, int width) const { return entering(block) / (width * bank); }
  // Banks of a block that may spend so many slots.
  int banks(int block, int width, int budget) const {
    const double share = static_cast<double>(budget) / slots(block);
    const int opened = static_cast<int>(std::ceil(share * depth * units())) / width;
    return std::min(first_banks(block, width) + opened, most_channels(block) / (width * bank));
  }
  std::vector<int> bank_widths(int block) const {
    std::vector<int> widths;
    for (int width = 1; width <= units(); ++width) {
      if (first_banks(block, width) >= least_reads(width) && least_slots(width) <= slots(block))
        widths.push_back(width);
    }
    return widths;
  }

  // Throws InvalidInput where a block could have no layer.
  void check() const {
    if (largest_bank % bank != 0) {
      throw InvalidInput("/largest_bank is " + std::to_string(largest_bank) + "; must be a multiple of /bank, " +
                         std::to_string(bank));
    }
    for (int block = 0; block < blocks; ++block) {
      if (!bank_widths(block).empty()) continue;
      throw InvalidInput("block " + std::to_string(block + 1) + " is entered with " + std::to_string(entering(block)) +
                         " channels in units of /bank, " + std::to_string(bank) +
                         ": too few for a layer that reads /compression, " + std::to_string(compression) +
                         ", of them; raise /width or lower /compression");
    }
  }

  Json to_json() const { return {depth, width, bank, largest_bank, compression, groups, least_budget}; }
  static Geometry from_json(const Json& json) {
    return {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.at(5), json.at(6)};
  }
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

struct Convolution {
  int height = 3, width = 3;  // of the kernel
  int dilation_height = 1, dilation_width = 1;
  int groups = 1;

  friend bool operator==(const Convolution&, const Convolution&) = default;
};

// Convolutions 1 and 3 read the 1x1 convolution, 2 and 4 what those two made; absent ones hand on what they would read.
// What the two ways make is added up.
struct Layer {
  std::vector<int> reads, writes;  // banks, ascending
  int units = 1;                   // channels that come out, in units
  std::array<std::optional<Convolution>, convolutions> convolved = {};

  friend bool operator==(const Layer&, const Layer&) = default;
};

struct Block {
  int width = 1;   // of its banks, in units
  int budget = 0;  // slots that its layers may read
  std::vector<Layer> layers = {};

  // Banks after the last layer.
  int banks(const Geometry& geometry, int block) const {
    int count = geometry.first_banks(block, width);
    for (const Layer& layer : layers) count = std::max(count, layer.writes.back() + 1);
    return count;
  }
  friend bool operator==(const Block&, const Block&) = default;
};

struct Network {
  Geometry geometry;
  std::array<Block, blocks> parts = {};

  // Of the 1x1 convolution of a layer: in, and out: as many units as the layer has, up to four times while there are
  // so many inputs. At most largest_bank, which are the columns that the authors' hypernetwork generates.
  int read_channels(int block, const Layer& layer) const {
    return static_cast<int>(layer.reads.size()) * parts[static_cast<std::size_t>(block)].width * geometry.bank;
  }
  int mixed_channels(int block, const Layer& layer) const {
    const int read = read_channels(block, layer), out = layer.units * geometry.bank;
    return std::min({std::clamp(read / out, 1, 4) * out, read, geometry.largest_bank});
  }
  // Slots before that layer's.
  int first_slot(int block, std::size_t layer) const {
    int slots = 0;
    for (int b = 0; b <= block; ++b) {
      const Block& part = parts[static_cast<std::size_t>(b)];
      const std::size_t count = b == block ? layer : part.layers.size();
      for (std::size_t i = 0; i < count; ++i)
        slots += geometry.slots_of(static_cast<int>(part.layers[i].reads.size()), part.width);
    }
    return slots;
  }
  int slots() const { return first_slot(blocks - 1, parts.back().layers.size()); }

  Json to_json() const {
    Json list = Json::array();
    for (const Block& block : parts) {
      Json layers = Json::array();
      for (const Layer& layer : block.layers) {
        Json convolved = Json::array();
        for (const auto& c : layer.convolved) {
          convolved.push_back(c ? Json{c->height, c->width, c->dilation_height, c->dilation_width, c->groups}
                                : Json(nullptr));
        }
        layers.push_back({{"read", layer.reads},
                          {"write", layer.writes},
                          {"units", layer.units},
                          {"convolutions", std::move(convolved)}});
      }
      list.push_back({{"width", block.width}, {"budget", block.budget}, {"layers", std::move(layers)}});
    }
    return {{"geometry", geometry.to_json()}, {"blocks", std::move(list)}};
  }
  // Throws InvalidInput if it is not of that form. Whether it keeps to the rules is asked by follow().
  static Network from_json(const Json& json) {
    try {
      Network network{Geometry::from_json(json.at("geometry"))};
      for (std::size_t b = 0; b < network.parts.size(); ++b) {
        const Json& block = json.at("blocks").at(b);
        network.parts[b] = {block.at("width"), block.at("budget")};
        for (const Json& entry : block.at("layers")) {
          Layer layer{entry.at("read"), entry.at("write"), entry.at("units")};
          for (std::size_t i = 0; i < layer.convolved.size(); ++i) {
            const Json& c = entry.at("convolutions").at(i);
            if (!c.is_null()) layer.convolved[i] = {c.at(0), c.at(1), c.at(2), c.at(3), c.at(4)};
          }
          network.parts[b].layers.push_back(std::move(layer));
        }
      }
      return network;
    } catch (const Json::exception& error) {
      throw InvalidInput(std::string("not a network of memory banks: ") + error.what());
    }
  }
  friend bool operator==(const Network&, const Network&) = default;
};

// ---- drawing and deciding -----------------------------------------------------------------------------------------

// A network in the making: one question after the other, each with the answers that the rules leave and how likely
// they are to be drawn.
class Draft {
 public:
  enum class Asks {
    width,
    budget,
    read_count,
    read,
    units,
    write_count,
    write,
    layout,
    kernel_height,
    kernel_width,
    dilation_height,
    dilation_width,
    groups,
    nothing
  };
  // What of the space is drawn from: the share of a block's budget, and the largest kernel.
  struct Limits {
    double budget = 1.0;
    int kernel = kernels.back();
  };

  explicit Draft(const Geometry& geometry) : network_{geometry} {}

  Asks asks() const { return asks_; }
  int block() const { return block_; }
  // Of the layer that is being made: its number in the block, from 0.
  std::size_t layer() const { return part().layers.size(); }
  int step() const { return step_; }
  // The convolution that is asked about, from 0, or the place in the list that is asked for.
  int index() const { return index_; }

  // Answers, ascending. At least one.
  std::vector<int> values() const {
    const Geometry& g = network_.geometry;
    switch (asks_) {
      case Asks::width:
        return g.bank_widths(block_);
      case Asks::budget:
        return from_to(least_slots(), g.slots(block_));
      case Asks::read_count:
        return multiples(g.least_reads(part().width), std::min(readable_, affordable_reads()));
      case Asks::read:
        return from_to(last(layer_.reads) + 1, readable_ - left_to_read());
      case Asks::units:
        return possible_units();
      case Asks::write_count:
        return from_to(pieces(), std::max(readable_ / 2, pieces()));
      case Asks::write:
        return possible_writes();
      case Asks::layout:
        return {1000, 1010, 1100, 1110, 1111};
      case Asks::kernel_height:
      case Asks::kernel_width:
        return {kernels.begin(), kernels.end()};
      case Asks::dilation_height:
        return from_to(1, 4 - (convolution().height - 1) / 2);
      case Asks::dilation_width:
        return from_to(1, 4 - (convolution().width - 1) / 2);
      case Asks::groups:
        return g.group_counts();
      case Asks::nothing:
        break;
    }
    return {};
  }

  // Of values(): in proportion.
  std::vector<double> weights(const Limits& limits) const {
    const std::vector<int> options = values();
    std::vector<double> weights;
    for (const int value : options) weights.push_back(weight(value, limits));
    // Who draws more reads than can be paid for reads as many as can.
    if (asks_ == Asks::read_count)
      weights.back() += static_cast<double>(multiples(network_.geometry.least_reads(part().width), readable_).size() -
                                            options.size());
    return weights;
  }

  // One of values().
  void answer(int value) {
    switch (asks_) {
      case Asks::width:
        part().width = value;
        asks_ = Asks::budget;
        return;
      case Asks::budget:
        part().budget = value;
        readable_ = network_.geometry.first_banks(block_, part().width);
        spent_ = 0;
        begin_layer();
        return;
      case Asks::read_count:
        wanted_ = static_cast<std::size_t>(value);
        asks_ = Asks::read;
        index_ = 0;
        return;
      case Asks::read:
        layer_.reads.push_back(value);
        ++index_;
        if (layer_.reads.size() == wanted_) asks_ = Asks::units;
        return;
      case Asks::units:
        layer_.units = value;
        asks_ = Asks::write_count;
        return;
      case Asks::write_count:
        wanted_ = static_cast<std::size_t>(value);
        asks_ = Asks::write;
        index_ = 0;
        return;
      case Asks::write:
        layer_.writes.push_back(value);
        ++index_;
        if (layer_.writes.size() == wanted_) asks_ = Asks::layout;
        return;
      case Asks::layout:
        for (int i = 0, digit = 1000; i < convolutions; ++i, digit /= 10) {
          if (value / digit % 10 == 1) layer_.convolved[static_cast<std::size_t>(i)].emplace();
        }
        index_ = -1;
        next_convolution();
        return;
      case Asks::kernel_height:
        convolution().height = value;
        asks_ = Asks::kernel_width;
        return;
      case Asks::kernel_width:
        convolution().width = value;
        asks_ = Asks::dilation_height;
        return;
      case Asks::dilation_height:
        convolution().dilation_height = value;
        asks_ = Asks::dilation_width;
        return;
      case Asks::dilation_width:
        convolution().dilation_width = value;
        asks_ = Asks::groups;
        return;
      case Asks::groups:
        convolution().groups = value;
        next_convolution();
        return;
      case Asks::nothing:
        return;
    }
  }

  // What `network` answers; nothing where it has none.
  std::optional<int> answer_of(const Network& network) const {
    const Block& block = network.parts[static_cast<std::size_t>(block_)];
    if (asks_ == Asks::width) return block.width;
    if (asks_ == Asks::budget) return block.budget;
    if (layer() >= block.layers.size()) return {};
    const Layer& of = block.layers[layer()];
    const auto at = [&](const std::vector<int>& list) {
      const auto i = static_cast<std::size_t>(index_);
      return i < list.size() ? std::optional(list[i]) : std::nullopt;
    };
    switch (asks_) {
      case Asks::read_count:
        return static_cast<int>(of.reads.size());
      case Asks::read:
        return at(of.reads);
      case Asks::units:
        return of.units;
      case Asks::write_count:
        return static_cast<int>(of.writes.size());
      case Asks::write:
        return at(of.writes);
      case Asks::layout: {
        int digits = 0;
        for (const auto& convolution : of.convolved) digits = 10 * digits + (convolution ? 1 : 0);
        return digits;
      }
      default:
        break;
    }
    const std::optional<Convolution>& c = of.convolved[static_cast<std::size_t>(index_)];
    if (!c) return {};
    switch (asks_) {
      case Asks::kernel_height:
        return c->height;
      case Asks::kernel_width:
        return c->width;
      case Asks::dilation_height:
        return c->dilation_height;
      case Asks::dilation_width:
        return c->dilation_width;
      default:
        return c->groups;
    }
  }

  // Whole once nothing is asked.
  const Network& network() const { return network_; }

 private:
  Block& part() { return network_.parts[static_cast<std::size_t>(block_)]; }
  const Block& part() const { return network_.parts[static_cast<std::size_t>(block_)]; }
  Convolution& convolution() { return *layer_.convolved[static_cast<std::size_t>(index_)]; }
  const Convolution& convolution() const { return *layer_.convolved[static_cast<std::size_t>(index_)]; }

  static std::vector<int> from_to(int first, int last) {
    std::vector<int> numbers;
    for (int i = first; i <= last; ++i) numbers.push_back(i);
    return numbers;
  }
  static std::vector<int> multiples(int of, int most) {
    std::vector<int> numbers;
    for (int i = of; i <= most; i += of) numbers.push_back(i);
    return numbers;
  }
  static int last(const std::vector<int>& list) { return list.empty() ? -1 : list.back(); }
  static double subsets(int of, int size) {
    if (size < 0 || size > of) return 0.0;
    double count = 1.0;
    for (int i = 1; i <= size; ++i) count *= static_cast<double>(of - size + i) / i;
    return count;
  }

  int least_slots() const {
    const Geometry& g = network_.geometry;
    const int share = static_cast<int>(std::floor(g.least_budget * g.slots(block_)));
    return std::max(share, g.least_slots(part().width));
  }
  int affordable_reads() const { return (part().budget - spent_) * network_.geometry.compression / part().width; }
  int left_to_read() const { return static_cast<int>(wanted_ - layer_.reads.size()); }
  int left_to_write() const { return static_cast<int>(wanted_ - layer_.writes.size()); }
  int empty() const { return network_.geometry.banks(block_, part().width, part().budget) - readable_; }
  int pieces() const { return layer_.units / part().width; }  // of a bank's width
  int openable() const { return std::min(empty(), pieces()); }

  // Every piece is written somewhere.
  std::vector<int> possible_units() const {
    std::vector<int> units;
    for (const int count : multiples(part().width, network_.geometry.units())) {
      const int pieces = count / part().width;
      if (pieces <= readable_ + std::min(empty(), pieces)) units.push_back(count);
    }
    return units;
  }

  // Empty banks are opened in order: who takes the first takes as many as are left to write.
  std::vector<int> possible_writes() const {
    const int after = last(layer_.writes), left = left_to_write();
    if (after >= readable_) return {after + 1};
    std::vector<int> banks;
    for (int bank = after + 1; bank < readable_; ++bank) {
      if (readable_ - bank - 1 + openable() >= left - 1) banks.push_back(bank);
    }
    if (left <= openable()) banks.push_back(readable_);
    return banks;
  }

  double weight(int value, const Limits& limits) const {
    switch (asks_) {
      case Asks::budget: {
        const int most = static_cast<int>(std::floor(limits.budget * network_.geometry.slots(block_)));
        return value <= std::max(most, least_slots()) ? 1.0 : 0.0;
      }
      case Asks::read:  // all subsets alike
        return subsets(readable_ - value - 1, left_to_read() - 1);
      case Asks::units:
        return 1.0 / (0.01 + 10.0 * std::abs(value - static_cast<int>(layer_.reads.size()) * part().width));
      case Asks::write_count:
        return std::exp(pieces() - value);
      case Asks::write:  // all subsets of what can be read and of `openable` empty banks, then the empty ones in order
        if (value >= readable_) return last(layer_.writes) >= readable_ ? 1.0 : subsets(openable(), left_to_write());
        return subsets(readable_ - value - 1 + openable(), left_to_write() - 1);
      case Asks::layout:
        return value == 1000 ? 0.05 : value == 1010 ? 0.1 : value == 1100 ? 0.15 : value == 1110 ? 0.25 : 0.45;
      case Asks::kernel_height:
      case Asks::kernel_width:
        return value <= limits.kernel ? 1.0 : 0.0;
      default:
        return 1.0;
    }
  }

  void begin_layer() {
    ++step_;
    layer_ = {};
    index_ = 0;
    if (part().budget - spent_ >= network_.geometry.least_slots(part().width)) {
      asks_ = Asks::read_count;
    } else if (++block_ < blocks) {
      asks_ = Asks::width;
    } else {
      --block_;
      asks_ = Asks::nothing;
    }
  }

  void next_convolution() {
    do ++index_;
    while (index_ < convolutions && !layer_.convolved[static_cast<std::size_t>(index_)]);
    if (index_ < convolutions) {
      asks_ = Asks::kernel_height;
      return;
    }
    spent_ += network_.geometry.slots_of(static_cast<int>(layer_.reads.size()), part().width);
    readable_ = std::max(readable_, layer_.writes.back() + 1);
    part().layers.push_back(std::move(layer_));
    begin_layer();
  }

  Network network_;
  Asks asks_ = Asks::width;
  int block_ = 0;
  int step_ = 0;
  Layer layer_ = {};        // in the making
  std::size_t wanted_ = 0;  // reads or writes
  int index_ = 0;
  int readable_ = 0;  // banks that were written
  int spent_ = 0;     // slots
};

inline Network draw(const Geometry& geometry, const Draft::Limits& limits, Rng& rng) {
  Draft draft(geometry);
  while (draft.asks() != Draft::Asks::nothing) draft.answer(draft.values()[rng.weighted(draft.weights(limits))]);
  return draft.network();
}

// ---- encoding -----------------------------------------------------------------------------------------------------

inline int encoding_channels(const Geometry& geometry) {
  const int per_convolution =
      2 * most_dilation + 2 * static_cast<int>(kernels.size()) + static_cast<int>(geometry.group_counts().size()) + 1;
  return 2 * geometry.most_banks() + blocks + geometry.units() + convolutions * per_convolution;
}

// [encoding_channels, units, slots], in this order: 1 where a layer is so, else -1. Its slots follow those of the
// layers before it; of them it marks the rows below its units. Channels: banks read (each in the slots of its own
// channels), banks written, block, units; of each convolution dilation and kernel (height, width); which convolutions
// there are; of each its groups.
//
// As in the authors' code but for two things there that keep the network from telling architectures apart: existing
// convolutions are marked by 1, not by -1, and the channels of kernels stay where they are while kernels grow. And of a
// bank whose channels are no multiple of a slot's the last slot is marked once.
inline std::vector<double> encode(const Network& network) {
  const Geometry& g = network.geometry;
  const int slots = g.slots();
  std::vector<double> code(static_cast<std::size_t>(encoding_channels(g) * g.units() * slots), -1.0);
  const std::vector<int> group_counts = g.group_counts();
  for (int b = 0; b < blocks; ++b) {
    const Block& block = network.parts[static_cast<std::size_t>(b)];
    for (std::size_t l = 0; l < block.layers.size(); ++l) {
      const Layer& layer = block.layers[l];
      const int first = network.first_slot(b, l);
      const int end = first + g.slots_of(static_cast<int>(layer.reads.size()), block.width);
      const auto mark = [&](int channel, int from, int to) {
        for (int row = 0; row < layer.units; ++row) {
          for (int slot = from; slot < to; ++slot)
            code[static_cast<std::size_t>((channel * g.units() + row) * slots + slot)] = 1.0;
        }
      };
      for (std::size_t i = 0; i < layer.reads.size(); ++i) {
        const int units = static_cast<int>(i) * block.width;
        mark(layer.reads[i], first + units / g.compression,
             first + (units + block.width + g.compression - 1) / g.compression);
      }
      int channel = g.most_banks();
      for (const int bank : layer.writes) mark(channel + bank, first, end);
      channel += g.most_banks();
      mark(channel + b, first, end);
      channel += blocks;
      mark(channel + layer.units - 1, first, end);
      channel += g.units();
      const auto mark_one = [&](int option, int options) {
        if (option >= 0) mark(channel + option, first, end);
        channel += options;
      };
      for (const auto& c : layer.convolved) {
        mark_one(c ? c->dilation_height - 1 : -1, most_dilation);
        mark_one(c ? c->dilation_width - 1 : -1, most_dilation);
      }
      for (const auto& c : layer.convolved) {
        mark_one(c ? c->height / 2 - 1 : -1, kernels.size());
        mark_one(c ? c->width / 2 - 1 : -1, kernels.size());
      }
      for (const auto& c : layer.convolved) mark_one(c ? 0 : -1, 1);
      for (const auto& c : layer.convolved) {
        const auto found = c ? std::find(group_counts.begin(), group_counts.end(), c->groups) : group_counts.end();
        mark_one(c ? static_cast<int>(found - group_counts.begin()) : -1, static_cast<int>(group_counts.size()));
      }
    }
  }
  return code;
}

}  // namespace weft::memory_banks
