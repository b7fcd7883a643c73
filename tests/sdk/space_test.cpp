// The defaults of DecisionSpace, on spaces small enough to know by heart.
#include "weft/space.hpp"

#include <map>
#include <set>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"

using namespace weft;

namespace {

class Described : public DecisionSpace {
 public:
  Candidate decode(const Genotype& genotype) const override {
    walk(genotype);
    ArchitectureBuilder graph;
    const NodeId input = graph.input(Shape::features(1));
    return {std::move(graph).build(input)};
  }
};

// Four decisions of three options that know nothing of each other, in two steps of two.
class Independent final : public Described {
 public:
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 4) return {};
    const int at = static_cast<int>(taken.size());
    return Decision{.name = "d" + std::to_string(at), .options = {"a", "b", "c"}, .step = at / 2};
  }
};

// First the number of layers, 1 to 3, then a width for each; a width must not shrink.
class Layered final : public Described {
 public:
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.empty()) return Decision{.name = "layers", .options = {"1", "2", "3"}};
    const std::size_t layer = taken.size();
    if (layer > static_cast<std::size_t>(taken[0]) + 1) return {};
    Decision decision{.name = "width " + std::to_string(layer), .step = static_cast<int>(layer)};
    for (int width = layer == 1 ? 0 : width_of(taken); width < 4; ++width)
      decision.options.push_back(std::to_string(width));
    return decision;
  }

  // The width that the last decision took.
  static int width_of(std::span<const std::int32_t> taken) {
    int width = 0;
    for (const std::int32_t option : taken.subspan(1)) width += option;
    return width;
  }
};

// Grows by one decision at a time, up to five; every prefix but the empty one is a genotype.
class Progressive final : public Described {
 public:
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.size() == 5) return {};
    const int at = static_cast<int>(taken.size());
    return Decision{.name = "block " + std::to_string(at), .options = {"a", "b"}, .step = at};
  }
  bool complete(std::span<const std::int32_t> taken) const override { return !taken.empty(); }
};

int differences(const Genotype& one, const Genotype& other) {
  int count = 0;
  for (std::size_t i = 0; i < one.decisions.size(); ++i) count += one.decisions[i] != other.decisions.at(i) ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("sampling reaches every genotype equally often") {
  const Independent space;
  std::map<std::vector<std::int32_t>, int> seen;
  Rng rng(1);
  for (int i = 0; i < 81 * 200; ++i) ++seen[space.sample(rng).decisions];
  REQUIRE(seen.size() == 81);
  for (const auto& [genotype, count] : seen) CHECK(std::abs(count - 200) < 5 * 14);
}

TEST_CASE("mutation changes exactly one of independent decisions, each equally often") {
  const Independent space;
  std::map<std::vector<std::int32_t>, int> children;
  const Genotype parent({0, 1, 2, 0});
  Rng rng(2);
  for (int i = 0; i < 8 * 500; ++i) {
    const Genotype child = space.mutate(parent, rng);
    REQUIRE(differences(parent, child) == 1);
    ++children[child.decisions];
  }
  REQUIRE(children.size() == 8);
  for (const auto& [child, count] : children) CHECK(std::abs(count - 500) < 5 * 22);
}

TEST_CASE("mutation keeps later decisions where they still exist, by their meaning") {
  const Layered space;
  Rng rng(3);
  const Genotype parent({2, 1, 0, 1});  // three layers of widths 1, 1, 2
  std::set<std::vector<std::int32_t>> children;
  for (int i = 0; i < 2000; ++i) {
    const Genotype child = space.mutate(parent, rng);
    space.decode(child);
    children.insert(child.decisions);
    if (child.decisions[0] == 0) CHECK(child == Genotype({0, 1}));  // fewer layers: the rest is gone
    if (child.decisions[0] == 1) CHECK(child == Genotype({1, 1, 0}));
    if (child.decisions[0] != 2) continue;
    if (child.decisions[1] == 0)
      CHECK(child == Genotype({2, 0, 1, 1}));  // width 0: 1 and 2 are still on offer, at other indices
    if (child.decisions[1] == 2)
      CHECK(child.decisions[3] ==
            0);  // width 2: layer 2 is drawn anew among 2 and 3, layer 3 can keep or must take the rest
  }
  CHECK(children.contains({2, 2, 0, 0}));
  CHECK(children.contains({2, 2, 1, 0}));
  // More layers: the new ones are drawn.
  std::set<std::vector<std::int32_t>> grown;
  for (int i = 0; i < 500; ++i) {
    const Genotype child = space.mutate(Genotype({0, 2}), rng);
    if (child.decisions[0] == 1) grown.insert(child.decisions);
  }
  CHECK(grown == std::set<std::vector<std::int32_t>>{{1, 2, 0}, {1, 2, 1}});
}

TEST_CASE("crossover takes whole steps") {
  const Independent space;
  Rng rng(4);
  std::map<std::vector<std::int32_t>, int> children;
  for (int i = 0; i < 2000; ++i) ++children[space.cross(Genotype({0, 0, 0, 0}), Genotype({1, 1, 2, 2}), rng).decisions];
  REQUIRE(children.size() == 4);
  for (const std::vector<std::int32_t>& child : {std::vector{0, 0, 0, 0}, {1, 1, 2, 2}, {0, 0, 2, 2}, {1, 1, 0, 0}}) {
    CHECK(std::abs(children[child] - 500) < 5 * 20);
  }
}

TEST_CASE("crossover of genotypes of different lengths stays in the space") {
  const Layered space;
  Rng rng(5);
  for (int i = 0; i < 1000; ++i) space.decode(space.cross(space.sample(rng), space.sample(rng), rng));
  for (int i = 0; i < 100; ++i)
    CHECK(space.cross(Genotype({1, 2, 1}), Genotype({1, 2, 1}), rng) == Genotype({1, 2, 1}));
}

TEST_CASE("mutation and crossover do not grow genotypes of a progressive space") {
  const Progressive space;
  Rng rng(6);
  for (int i = 0; i < 100; ++i) {
    CHECK(differences(Genotype({0, 1}), space.mutate(Genotype({0, 1}), rng)) == 1);
    CHECK(space.mutate(Genotype({0, 1}), rng).decisions.size() == 2);
    CHECK(space.cross(Genotype({0, 1}), Genotype({1, 0}), rng).decisions.size() == 2);
    CHECK(space.cross(Genotype({0}), Genotype({1, 0, 1}), rng).decisions.size() == 3);
  }
}

TEST_CASE("encoding is one-hot, and refuses where decisions depend on each other") {
  CHECK(Independent().encode(Genotype({0, 2, 1, 1})) == std::vector<double>{1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0});
  CHECK(Independent().encoding_length() == 12);
  CHECK_THROWS_WITH(Layered().encode(Genotype({2, 0, 0, 0})), ContainsSubstring("encoding of its own"));
}

TEST_CASE("the default notation reads back, and a genotype that does not fit is refused at its decision") {
  const Layered space;
  CHECK(space.notation(Genotype({1, 2, 1})) == "1,2,1");
  CHECK(space.parse("1,2,1") == Genotype({1, 2, 1}));
  const auto refusal = [&](const char* notation) -> std::string {
    try {
      space.parse(notation);
    } catch (const InvalidInput& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK_THAT(refusal("1,2"), ContainsSubstring("ends after 2 decisions, before decision width 2"));
  CHECK_THAT(refusal("1,2,2"), ContainsSubstring("decision 2 (width 2) takes option 2; there are 2"));
  CHECK_THAT(refusal("0,2,1"), ContainsSubstring("has 3 decisions, but nothing is left to decide after 2"));
  CHECK_THAT(refusal("1,-1,0"), ContainsSubstring("takes option -1"));
  CHECK_THAT(refusal("4294967297,2,1"), ContainsSubstring("out of range"));
  for (const char* junk : {"", "a", "1,", "1;2", "1.0,2,1", "[1],2", "1],[2"}) {
    INFO(junk);
    CHECK(refusal(junk) != "accepted");
  }
}
