#include "weft/search/history.hpp"

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/library.hpp"

using namespace weft;
using search::Amount;
using search::amount_of;
using search::Vocabulary;

namespace {

// The first decision says which options the second one offers, and in which order.
class Dependent final : public DecisionSpace {
 public:
  explicit Dependent(const Context&) {}
  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    if (taken.empty()) return Decision{.name = "depth", .kind = Decision::Kind::ordinal, .options = {"1", "2"}};
    if (taken.size() == 2) return {};
    return Decision{.name = "input",
                    .options = taken[0] == 0 ? std::vector<std::string>{"image", "stem"}
                                             : std::vector<std::string>{"block", "stem", "image"}};
  }
  Candidate decode(const Genotype&) const override { throw Error("nothing to build"); }
};

testing::Instance dependent() {
  static constexpr weft_component component = weft::component<Dependent>("dependent");
  return {component, Json::object()};
}

}  // namespace

TEST_CASE("history: amounts compare by level, then by data, then by epochs, and what is absent is the most") {
  CHECK(amount_of({.epochs = 3}) < amount_of({.epochs = 9}));
  CHECK(amount_of({.epochs = 9}) < amount_of({}));
  CHECK(amount_of({.data_fraction = 0.5}) < amount_of({.epochs = 1}));
  CHECK(amount_of({.epochs = 81, .level = 0}) < amount_of({.epochs = 1, .level = 1}));
  CHECK(amount_of({.epochs = 81, .data_fraction = 0.1, .level = 1}) <
        amount_of({.epochs = 1, .data_fraction = 0.2, .level = 1}));
  CHECK(amount_of({.epochs = 3, .resume_from = 7}) == amount_of({.epochs = 3}));
}

TEST_CASE("history: an answer means the same where a decision offers other options") {
  const testing::Instance instance = dependent();
  const SpaceRef space(instance.handle());
  Vocabulary vocabulary;
  const search::Answers shallow = vocabulary.read(space, Genotype({0, 1}));  // stem, of image and stem
  const search::Answers deep = vocabulary.read(space, Genotype({1, 1}));     // stem, of block, stem and image
  REQUIRE(shallow.size() == 2);
  REQUIRE(vocabulary.size() == 2);
  CHECK(shallow[1].name == deep[1].name);
  CHECK(shallow[1].option == deep[1].option);
  CHECK(vocabulary[shallow[0].name].kind == Decision::Kind::ordinal);

  const Vocabulary::Entry& input = vocabulary[deep[1].name];
  CHECK(input.options == std::vector<std::string>{"image", "stem", "block"});
  CHECK(input.offered == std::vector<std::uint32_t>{2, 1, 0});
  CHECK(input.places == std::vector<std::int32_t>{2, 1, 0});

  const std::uint32_t block = vocabulary.read(space, Genotype({1, 0}))[1].option;
  vocabulary.meet(*space.next(std::vector<std::int32_t>{0}));
  CHECK(input.places[block] == Vocabulary::not_offered);
  CHECK(input.places[shallow[1].option] == 1);
}

TEST_CASE("history: a genotype of another space is refused") {
  const testing::Instance instance = dependent();
  const SpaceRef space(instance.handle());
  Vocabulary vocabulary;
  CHECK_THROWS_WITH(vocabulary.read(space, Genotype({0, 2})),
                    ContainsSubstring("[0,2]") && ContainsSubstring("decision 1"));
  CHECK_THROWS_AS(vocabulary.read(space, Genotype({0, 1, 0})), InvalidInput);
  CHECK_THROWS_AS(vocabulary.read(space, Genotype({-1})), InvalidInput);
  CHECK(vocabulary.read(space, Genotype({1})).size() == 1);  // of a progressive space it may be all
}
