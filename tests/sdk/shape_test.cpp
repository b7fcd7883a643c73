#include "weft/shape.hpp"

#include "tests/catch.hpp"

using namespace weft;

TEST_CASE("shapes keep their kind through JSON and say their extents") {
  for (const Shape& shape : {Shape::image(3, 32, 24), Shape::features(128), Shape::sequence(35, 200)}) {
    CHECK(Shape::from_json(shape.to_json()) == shape);
  }
  CHECK(Shape::image(3, 32, 24).to_json() == Json({3, 32, 24}));
  CHECK(Shape::sequence(35, 200).to_json() == Json({35, 200}));
  CHECK(Shape::image(3, 32, 24).to_string() == "3 x 32 x 24");
  CHECK(Shape::sequence(35, 200).to_string() == "35 x 200");
  CHECK(Shape::image(3, 32, 24).elements() == 2304);
  CHECK(Shape::sequence(35, 200).elements() == 7000);
  CHECK(Shape::features(7) != Shape::image(7, 1, 1));
}

TEST_CASE("what is no shape is refused with what was found") {
  for (const char* text : {"[]", "[1,2,3,4]", "3", "{}", "null", "[0]", "[3,-1,4]", "[1.5]", "[\"3\"]", "[true]",
                           "[9223372036854775808]"}) {
    INFO(text);
    CHECK_THROWS_AS(Shape::from_json(Json::parse(text)), InvalidInput);
  }
  CHECK_THROWS_WITH(Shape::from_json(Json::parse("[3,0,4]")), ContainsSubstring("[3,0,4]"));
}
