// Memory banks: the paper's sizes, the rules of a draw, the encoding and the network of one architecture by hand.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/catch.hpp"
#include "weft/memory_banks.hpp"
#include "weft/space.hpp"
#include "weft/testing/decoded.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/space_contract.hpp"

namespace {

namespace memory = weft::memory_banks;
using memory::Draft;
using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;
using Asks = Draft::Asks;

const memory::Geometry paper = {};
const memory::Geometry small = {.depth = 1, .width = 1, .bank = 4, .largest_bank = 8, .compression = 2, .groups = 4};
const Json small_args = {{"depth", 1},        {"width", 1},       {"bank", 4},
                         {"largest_bank", 8}, {"compression", 2}, {"groups", 4}};
const Json small_study = {{"task", {{"input", {1, 8, 8}}, {"classes", 4}}}};

// One layer in each block: of two narrow banks, of a wide one, and one that opens a bank.
memory::Network example() {
  memory::Network network{small};
  network.parts[0] = {1, 1, {{{0, 1}, {1}, 1}}};
  network.parts[0].layers[0].convolved[0] = {3, 5, 2, 1, 4};
  network.parts[1] = {2, 1, {{{0}, {0}, 2}}};
  network.parts[1].layers[0].convolved[0] = {3, 3, 1, 1, 1};
  network.parts[1].layers[0].convolved[2] = {7, 3, 1, 3, 2};
  network.parts[2] = {1, 1, {{{0, 1}, {0, 2}, 2}}};
  for (auto& convolution : network.parts[2].layers[0].convolved) convolution = memory::Convolution{};
  return network;
}

// Answers until that is asked: what `given` says, else the first there is.
Draft asked(const memory::Geometry& geometry, Asks until, std::map<Asks, int> given) {
  Draft draft(geometry);
  while (draft.asks() != until) {
    const auto found = given.find(draft.asks());
    draft.answer(found != given.end() ? found->second : draft.values().front());
  }
  return draft;
}

}  // namespace

TEST_CASE("smash: the sizes of the paper's networks") {
  const auto of_blocks = [](auto&& size) { return std::vector<int>{size(0), size(1), size(2)}; };
  CHECK(paper.units() == 8);
  CHECK(of_blocks([](int b) { return paper.entering(b); }) == std::vector<int>{64, 96, 112});
  CHECK(of_blocks([](int b) { return paper.most_channels(b); }) == std::vector<int>{192, 224, 256});
  CHECK(of_blocks([](int b) { return paper.slots(b); }) == std::vector<int>{26, 51, 99});
  CHECK(paper.most_banks() == 32);
  CHECK(paper.group_counts() == std::vector<int>{1, 2, 4, 8});
  CHECK(memory::encoding_channels(paper) == 143);
  // Banks of 4 or 8 units may be read one by one; narrower ones in fours, of which there must be so many.
  CHECK(paper.bank_widths(0) == std::vector<int>{1, 2, 4, 8});
  CHECK(paper.bank_widths(1) == std::vector<int>{1, 2, 3, 4, 8});
  CHECK(paper.least_reads(3) == 4);
  CHECK(paper.least_slots(3) == 3);
  CHECK(paper.least_slots(8) == 2);
  // The input's 8 banks of a unit, and as many more as layers may open: 96, of which the block has room for 24.
  CHECK(paper.banks(0, 1, 26) == 24);
  CHECK(paper.banks(0, 4, 13) == 6);
}

TEST_CASE("smash: what is asked, and how likely the answers are") {
  const auto near = [](const std::vector<double>& found, const std::vector<double>& wanted) {
    REQUIRE(found.size() == wanted.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(wanted[i]));
  };
  const Draft budget = asked(paper, Asks::budget, {{Asks::width, 2}});
  CHECK(budget.values().front() == 7);
  CHECK(budget.values().back() == 26);
  const std::vector<double> half = budget.weights({.budget = 0.5});
  CHECK(std::count(half.begin(), half.end(), 1.0) == 7);  // 7 to 13

  // Of the 16 channels a bank, 4 banks to read from. Who draws more than he can pay for takes what he can.
  const Draft counts = asked(paper, Asks::read_count, {{Asks::width, 2}, {Asks::budget, 7}});
  CHECK(counts.values() == std::vector<int>{4});
  const Draft costly = asked(small, Asks::read_count, {{Asks::width, 1}, {Asks::budget, 1}});
  CHECK(costly.values() == std::vector<int>{2});
  near(asked(paper, Asks::read_count, {{Asks::width, 1}, {Asks::budget, 7}}).weights({}), {1.0, 1.0});

  // Layers as wide as what they read are by far the likeliest.
  const Draft units = asked(paper, Asks::units, {{Asks::width, 4}, {Asks::budget, 10}, {Asks::read_count, 2}});
  CHECK(units.values() == std::vector<int>{4, 8});
  near(units.weights({}), {1 / 40.01, 1 / 0.01});

  // 8 banks: one piece goes to one to four of them, each number e times as likely as the next; the first empty one is
  // among those that can be written.
  std::map<Asks, int> narrow = {{Asks::width, 1}, {Asks::budget, 10}, {Asks::units, 1}};
  const Draft writes = asked(paper, Asks::write_count, narrow);
  CHECK(writes.values() == std::vector<int>{1, 2, 3, 4});
  near(writes.weights({}), {1.0, std::exp(-1), std::exp(-2), std::exp(-3)});
  narrow[Asks::write_count] = 2;
  CHECK(asked(paper, Asks::write, narrow).values() == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
  near(asked(paper, Asks::write, narrow).weights({}), {8, 7, 6, 5, 4, 3, 2, 1});
  narrow[Asks::write_count] = 1;
  CHECK(asked(paper, Asks::write, narrow).values().back() == 8);

  near(asked(paper, Asks::layout, {}).weights({}), {0.05, 0.1, 0.15, 0.25, 0.45});
  near(asked(paper, Asks::kernel_width, {}).weights({.kernel = 5}), {1.0, 1.0, 0.0});
  CHECK(asked(paper, Asks::dilation_height, {{Asks::kernel_height, 3}}).values() == std::vector<int>{1, 2, 3});
  CHECK(asked(paper, Asks::dilation_height, {{Asks::kernel_height, 7}}).values() == std::vector<int>{1});
}

TEST_CASE("smash: banks are read once they were written, opened in order, and budgets are spent") {
  for (std::uint64_t i = 0; i < 40; ++i) {
    weft::Rng rng(11, i);
    const memory::Network network = memory::draw(paper, {.budget = 0.6, .kernel = 5}, rng);
    for (int b = 0; b < memory::blocks; ++b) {
      const memory::Block& block = network.parts[static_cast<std::size_t>(b)];
      CHECK(block.budget >= static_cast<int>(0.3 * paper.slots(b)));
      CHECK(block.budget <= static_cast<int>(0.6 * paper.slots(b)));
      int readable = paper.first_banks(b, block.width), spent = 0;
      for (const memory::Layer& layer : block.layers) {
        CHECK(layer.reads.back() < readable);
        CHECK(layer.reads.size() % static_cast<std::size_t>(paper.least_reads(block.width)) == 0);
        CHECK(layer.units % block.width == 0);
        CHECK(layer.writes.size() >= static_cast<std::size_t>(layer.units / block.width));
        for (const int bank : layer.writes) readable += bank == readable ? 1 : 0;
        CHECK(layer.writes.back() < readable);
        spent += paper.slots_of(static_cast<int>(layer.reads.size()), block.width);
        for (const auto& convolution : layer.convolved) CHECK((!convolution || convolution->height <= 5));
      }
      CHECK(spent <= block.budget);
      CHECK(block.budget - spent < paper.least_slots(block.width));
      CHECK(readable <= paper.banks(b, block.width, block.budget));
      CHECK(readable == block.banks(paper, b));
    }
  }
}

TEST_CASE("smash: subsets of banks are equally likely") {
  std::map<std::vector<int>, int> read;
  std::map<std::vector<int>, int> written;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    weft::Rng rng(5, i);
    const memory::Geometry geometry = {
        .depth = 2, .width = 2, .bank = 4, .largest_bank = 8, .compression = 2, .least_budget = 1.0};
    const memory::Block block = memory::draw(geometry, {}, rng).parts[0];
    if (block.width != 1) continue;
    const memory::Layer& layer = block.layers[0];
    if (layer.units == 1 && layer.writes.size() == 1) ++written[layer.writes];
    if (layer.reads.size() == 2) ++read[layer.reads];
  }
  const auto even = [](const std::map<std::vector<int>, int>& counts, std::size_t kinds) {
    REQUIRE(counts.size() == kinds);
    double total = 0.0, chi_squared = 0.0;
    for (const auto& [subset, count] : counts) total += count;
    const double each = total / static_cast<double>(kinds);
    for (const auto& [subset, count] : counts) chi_squared += (count - each) * (count - each) / each;
    CHECK(chi_squared < 20.5);  // 0.999 of the distribution with five degrees of freedom
  };
  even(read, 6);     // 2 of 4
  even(written, 5);  // of 4 and the first empty one
}

TEST_CASE("smash: an architecture's encoding, by hand") {
  const Instance space(Plugin::open("space", "smash"), small_args, {.study = small_study});
  const weft::SpaceRef reference(space.handle());
  const std::vector<double> code = reference.encode(reference.parse(example().to_json().dump()));
  const int channels = 85, units = 2, slots = 10;
  REQUIRE(memory::encoding_channels(small) == channels);
  REQUIRE(code.size() == static_cast<std::size_t>(channels * units * slots));

  // Channels of each layer: read, written from 8 on, block from 16, units from 19, dilations from 21, kernels from 45,
  // convolutions from 69, groups from 73.
  const std::vector<std::vector<int>> marked = {
      {0, 1, 8 + 1, 16, 19, 21 + 1, 24, 45, 48 + 1, 69, 73 + 2},
      {0, 8, 17, 20, 21, 24, 33, 36 + 2, 45, 48, 57 + 2, 60, 69, 71, 73, 79 + 1},
      {0,  1,  8,  10, 18, 20, 21, 24, 27, 30, 33, 36, 39, 42, 45,
       48, 51, 54, 57, 60, 63, 66, 69, 70, 71, 72, 73, 76, 79, 82}};
  const std::vector<int> rows = {1, 2, 2};
  std::set<std::tuple<int, int, int>> wanted, found;
  for (int slot = 0; slot < 3; ++slot) {
    for (const int channel : marked[static_cast<std::size_t>(slot)]) {
      for (int row = 0; row < rows[static_cast<std::size_t>(slot)]; ++row) wanted.emplace(channel, row, slot);
    }
  }
  for (int i = 0; i < static_cast<int>(code.size()); ++i) {
    if (code[static_cast<std::size_t>(i)] == 1.0) found.emplace(i / slots / units, i / slots % units, i % slots);
  }
  CHECK(found == wanted);
  CHECK(std::count(code.begin(), code.end(), -1.0) == channels * units * slots - static_cast<int>(wanted.size()));
}

TEST_CASE("smash: banks that share a slot, or take several, are marked where their channels are") {
  // Four banks of 3 units in 3 slots of 4 units.
  memory::Network network{paper};
  network.parts[0] = {3, 3, {{{0, 1, 2, 3}, {0}, 3}}};
  network.parts[0].layers[0].convolved[0] = memory::Convolution{};
  const std::vector<double> code = memory::encode(network);
  const auto slots_of = [&](int channel) {
    std::vector<int> slots;
    for (int slot = 0; slot < paper.slots(); ++slot) {
      if (code[static_cast<std::size_t>(channel * 8 * paper.slots() + slot)] == 1.0) slots.push_back(slot);
    }
    return slots;
  };
  CHECK(slots_of(0) == std::vector<int>{0});
  CHECK(slots_of(1) == std::vector<int>{0, 1});
  CHECK(slots_of(2) == std::vector<int>{1, 2});
  CHECK(slots_of(3) == std::vector<int>{2});
  CHECK(slots_of(32) == std::vector<int>{0, 1, 2});  // written
}

TEST_CASE("smash: an architecture's network, by hand") {
  const Instance space(Plugin::open("space", "smash"), small_args, {.study = small_study});
  const weft::Architecture network = weft::testing::decode(space, example().to_json().dump());
  const auto node = [&](const std::string& name) {
    for (const weft::Node& one : network.nodes()) {
      if (one.name == name) return one;
    }
    FAIL("no node " << name);
    return weft::Node{};
  };
  CHECK(node("stem").shape.to_string() == weft::Shape::image(8, 8, 8).to_string());
  // Twice as many inputs as outputs: a bottleneck of twice the outputs.
  CHECK(node("block 1/layer 1/mix").shape.channels == 8);
  const weft::Node first = node("block 1/layer 1/convolution 1");
  CHECK(first.attributes.at("kernel") == Json{3, 5});
  CHECK(first.attributes.at("dilation") == Json{2, 1});
  CHECK(first.attributes.at("padding") == Json{2, 2});
  CHECK(first.attributes.at("groups") == 4);
  CHECK(first.shape.to_string() == weft::Shape::image(4, 8, 8).to_string());
  CHECK(node("transition 1/norm").shape.channels == 8);
  // One bank of 8 channels, to which both convolutions are added.
  CHECK(weft::testing::nodes_of(network, "add", "block 2").size() == 2);
  CHECK(weft::testing::nodes_of(network, "slice", "block 2").empty());
  CHECK(node("block 2/layer 1/convolution 3").attributes.at("groups") == 2);
  CHECK(node("block 2/layer 1/convolution 3").shape.to_string() == weft::Shape::image(8, 4, 4).to_string());
  // Two pieces: one is added to the first bank, the other opens the third.
  CHECK(node("classifier/norm").shape.to_string() == weft::Shape::image(12, 2, 2).to_string());
  CHECK(weft::testing::nodes_of(network, "add", "block 3").size() == 2);
  // Stem; block 1: norms 2 x 16, mix, one convolution of 2 inputs a group; transition; block 2; transition; block 3;
  // classifier.
  CHECK(network.cost().parameters == 8 * 49 + (32 + 64 + 4 * 2 * 15) + (16 + 64) + (32 + 64 + 8 * 8 * 9 + 8 * 4 * 21) +
                                         (16 + 64) + (32 + 64 + 4 * 8 * 8 * 9) + (24 + 12 * 4 + 4));
}

TEST_CASE("smash: notations that break a rule are refused with the rule") {
  const Instance space(Plugin::open("space", "smash"), small_args, {.study = small_study});
  const weft::SpaceRef reference(space.handle());
  const auto parsed = [&](auto&& change) {
    memory::Network network = example();
    change(network);
    reference.parse(network.to_json().dump());
  };
  CHECK_NOTHROW(parsed([](memory::Network&) {}));
  CHECK_THROWS_WITH(parsed([](memory::Network& n) {
                      n.parts[2].layers[0].writes = {0, 3};
                    }),
                    ContainsSubstring("block 3/layer 1/write 2 is 3; must be one of [1,2]"));
  CHECK_THROWS_WITH(parsed([](memory::Network& n) { n.parts[1].layers.push_back(n.parts[1].layers[0]); }),
                    ContainsSubstring("more layers than its budget"));
  CHECK_THROWS_WITH(parsed([](memory::Network& n) { n.parts[1].layers.clear(); }),
                    ContainsSubstring("block 2/layer 1/reads is missing"));
  CHECK_THROWS_WITH(parsed([](memory::Network& n) { n.geometry.depth = 2; }), ContainsSubstring("geometry"));
}

TEST_CASE("smash: sizes of which a block could have no layer are refused") {
  const auto opened = [](const Json& more) {
    Json args = small_args;
    args.update(more);
    Instance(Plugin::open("space", "smash"), args, {.study = small_study});
  };
  CHECK_THROWS_WITH(opened({{"compression", 3}}), ContainsSubstring("block 1 is entered with 8 channels"));
  CHECK_THROWS_WITH(opened({{"largest_bank", 10}}), ContainsSubstring("must be a multiple of /bank, 4"));
}

TEST_CASE("smash keeps the contract of spaces") {
  weft::testing::check_space(Plugin::open("space", "smash"), small_args, small_study);
  weft::testing::check_space(Plugin::open("space", "smash"),
                             {{"depth", 2}, {"width", 2}, {"bank", 4}, {"largest_bank", 16}, {"compression", 2}},
                             {{"task", {{"input", {3, 8, 8}}, {"classes", 10}}}});
}
