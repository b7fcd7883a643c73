// The schema of weight transfers says what the SDK's reader says.
#include <filesystem>

#include "host/plugins/schema.hpp"
#include "host/plugins/strict_json.hpp"
#include "tests/catch.hpp"
#include "weft/weight_transfer.hpp"

using weft::Json;

namespace {

bool passes_schema(const Json& transfer) {
  const std::filesystem::path file = std::filesystem::path(WEFT_TEST_SOURCE) / "manifests/schemas/weight_transfer.json";
  try {
    weft::host::validate(transfer, weft::host::read_json(file), "transfer", "");
  } catch (const weft::InvalidInput&) {
    return false;
  }
  return true;
}

bool is_read(const Json& transfer) {
  try {
    return weft::WeightTransfer::from_json(transfer).to_json() == transfer;
  } catch (const weft::InvalidInput&) {
    return false;
  }
}

Json with_rule(const Json& rule) { return {{"transfer", 1}, {"steps", {{{"tensors", {{"w", rule}}}}}}}; }

}  // namespace

TEST_CASE("a transfer is read where its schema says so, and there alone") {
  const auto map = [](const char* text) {
    return with_rule({{"from", "w"}, {"gather", Json::array({Json::parse(text)})}});
  };
  for (const Json& good :
       {Json({{"transfer", 1}, {"steps", Json::array()}}), with_rule({{"from", "x"}}),
        with_rule({{"from", "x"}, {"pad", {3, 5}}}), with_rule({{"identity", {4, 1, 3, 3}}, {"noise", 0.001}}),
        with_rule({{"constant", 0.5}, {"extents", {4}}}), with_rule({{"fresh", true}}),
        with_rule({{"calibrated", true}}),
        map(R"({"dimension": 1, "indices": [0, -1], "scale": [0.5, 1], "fill": 1.5, "noise": 0.5})"),
        map(R"({"dimension": 0, "largest": 4, "norm_of": "w"})"),
        Json::parse(R"({"transfer": 1, "steps": [{"removed": ["a", "b"]}, {}]})")}) {
    INFO(good);
    CHECK(passes_schema(good));
    CHECK(is_read(good));
  }
  for (const Json& bad : {Json(3),
                          Json({{"kind", "copy"}}),
                          Json({{"transfer", 2}, {"steps", Json::array()}}),
                          with_rule("copy"),
                          with_rule({{"from", ""}}),
                          with_rule({{"from", "x"}, {"to", "y"}}),
                          with_rule({{"from", "x"}, {"pad", {3}}}),
                          with_rule({{"from", "x"}, {"noise", 1}}),
                          with_rule({{"identity", {0, 1}}}),
                          with_rule({{"constant", 1}}),
                          with_rule({{"constant", 1}, {"extents", {-1}}}),
                          with_rule({{"fresh", false}}),
                          with_rule(Json::object()),
                          map(R"({"dimension": -1, "indices": [0]})"),
                          map(R"({"dimension": 0, "indices": [-2]})"),
                          map(R"({"dimension": 0, "indices": []})"),
                          map(R"({"dimension": 0, "indices": [1], "noise": -1})"),
                          map(R"({"dimension": 0, "largest": 0, "norm_of": "w"})"),
                          map(R"({"dimension": 0, "largest": 1})"),
                          Json::parse(R"({"transfer": 1, "steps": [{"removed": [""]}]})")}) {
    INFO(bad);
    CHECK_FALSE(passes_schema(bad));
    CHECK_FALSE(is_read(bad));
  }
}
