// How the parameters and running statistics of a child follow from its parent's.
//
// A transfer is data: whoever proposes a child writes it without knowing what a tensor is, and whoever trains the child
// executes it (weft/torch/weight_transfer.hpp). It is a list of steps, one for each change of the network. A step works
// on a dictionary of tensors by their names: rules say how some of them become others, some are removed, and what it
// does not mention stays as it is. After the last step the dictionary holds what the child's network holds, no more and
// no less.
//
// {"transfer": 1, "steps": [{"morph": TEXT, "tensors": {NAME: RULE ..}, "removed": [NAME ..]} ..]}, where the text says
// what changed, to whoever looks at a lineage, and a rule is one of
//   {"from": NAME}                                     as it was under that name before the step
//   {"from": NAME, "gather": [MAP ..]}                 its slices along some dimensions, each scaled
//   {"from": NAME, "pad": [HEIGHT, WIDTH]}             a kernel within zeros, at the centre
//   {"identity": EXTENTS, "noise": R}                  a convolution or linear layer whose output is its input
//   {"constant": NUMBER, "extents": EXTENTS}
//   {"fresh": true}                                    as the child's network begins
//   {"calibrated": true}                               a batch norm's, measured on a batch: its statistics, and the weight
//                                                      and bias that make it the identity then
// and a map one of
//   {"dimension": D, "indices": [I ..], "scale": [S ..], "fill": F, "noise": R}
//                        slice k is slice I[k] times S[k]; where I[k] is -1 it holds F alone, or zeros
//   {"dimension": D, "largest": N, "norm_of": NAME}
//                        the N slices in whose place NAME, along its dimension 0, has the largest sum of absolute
//                        values; in their order
// Noise is normal, of R times the deviation of the source's values: on slices that are filled, scaled or repeat another,
// or on all of an identity (Chen et al. 2016, against symmetry).
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft {

struct WeightTransfer {
  using Extents = std::vector<std::int64_t>;

  struct Largest {
    std::int64_t count;
    std::string norm_of;
  };
  struct Map {
    std::int64_t dimension = 0;
    std::vector<std::int64_t> indices = {};
    std::vector<double> scale = {};  // empty: ones
    double fill = 0.0;
    double noise = 0.0;
    std::optional<Largest> largest = {};  // then there are no indices
  };
  struct Gather {
    std::string from;
    std::vector<Map> maps = {};  // none: a copy
  };
  struct Pad {
    std::string from;
    Extents kernel;  // height, width
  };
  struct Identity {
    Extents extents;  // [out, in / groups, height, width] or [out, in]
    double noise = 0.0;
  };
  struct Constant {
    double value;
    Extents extents;
  };
  struct Fresh {};
  struct Calibrated {};
  using Rule = std::variant<Gather, Pad, Identity, Constant, Fresh, Calibrated>;

  struct Step {
    std::string morph = {};  // what changed, in words
    std::map<std::string, Rule> tensors = {};
    std::vector<std::string> removed = {};
  };
  std::vector<Step> steps = {};

  // The steps of another transfer come after these.
  void append(WeightTransfer later) {
    steps.insert(steps.end(), std::make_move_iterator(later.steps.begin()), std::make_move_iterator(later.steps.end()));
  }

  Json to_json() const;
  // Throws InvalidInput naming rule, value and place.
  static WeightTransfer from_json(const Json& json);
};

#ifndef WEFT_DECLARED_ONLY
namespace detail {

class TransferReader {
 public:
  WeightTransfer read(const Json& json) {
    only(json, "", {"transfer", "steps"});
    if (json.at("transfer") != 1) fail("/transfer", json.at("transfer"), "must be 1, the version of the format");
    WeightTransfer transfer;
    for (std::size_t i = 0; i < array(json.at("steps"), "/steps").size(); ++i) {
      const std::string place = "/steps/" + std::to_string(i);
      const Json& given = json.at("steps")[i];
      only(given, place, {}, {"morph", "tensors", "removed"});
      WeightTransfer::Step& step = transfer.steps.emplace_back();
      if (given.contains("morph")) step.morph = text(given.at("morph"), place + "/morph", "what changed, in words");
      const Json tensors = given.value("tensors", Json::object());
      if (!tensors.is_object()) fail(place + "/tensors", tensors, "must be an object of rules");
      for (const auto& [name, rule] : tensors.items())
        step.tensors.emplace(name, read_rule(rule, place + "/tensors/" + name));
      const Json removed = given.value("removed", Json::array());
      for (const Json& name : array(removed, place + "/removed"))
        step.removed.push_back(text(name, place + "/removed"));
    }
    return transfer;
  }

 private:
  [[noreturn]] static void fail(const std::string& place, const Json& value, const std::string& rule) {
    throw InvalidInput("transfer" + place + " " + rule + ", not " + value.dump());
  }
  static void only(const Json& json, const std::string& place, const std::vector<const char*>& needed,
                   const std::vector<const char*>& possible = {}) {
    if (!json.is_object()) fail(place, json, "must be an object");
    for (const char* name : needed) {
      if (!json.contains(name)) fail(place, json, std::string("must have ") + name);
    }
    for (const auto& [name, value] : json.items()) {
      const auto is = [&name = name](const char* one) { return name == one; };
      if (std::none_of(needed.begin(), needed.end(), is) && std::none_of(possible.begin(), possible.end(), is))
        fail(place + "/" + name, value, "is nothing that belongs there");
    }
  }
  static const Json& array(const Json& json, const std::string& place) {
    if (!json.is_array()) fail(place, json, "must be a list");
    return json;
  }
  static std::string text(const Json& json, const std::string& place, const std::string& what = "a tensor's name") {
    if (!json.is_string() || json.get_ref<const std::string&>().empty()) fail(place, json, "must be " + what);
    return json.get<std::string>();
  }
  static std::int64_t integer(const Json& json, const std::string& place, std::int64_t least) {
    if (!json.is_number_integer() || json.get<std::int64_t>() < least)
      fail(place, json, "must be an integer of at least " + std::to_string(least));
    return json.get<std::int64_t>();
  }
  static std::vector<std::int64_t> integers(const Json& json, const std::string& place, std::int64_t least) {
    std::vector<std::int64_t> result;
    for (const Json& one : array(json, place)) result.push_back(integer(one, place, least));
    return result;
  }
  static double number(const Json& json, const std::string& place) {
    if (!json.is_number()) fail(place, json, "must be a number");
    return json.get<double>();
  }
  static double noise(const Json& json, const std::string& place) {
    const double ratio = number(json.value("noise", Json(0.0)), place + "/noise");
    if (ratio < 0.0) fail(place + "/noise", json.at("noise"), "must not be negative");
    return ratio;
  }
  static void is_true(const Json& json, const std::string& place) {
    if (json != true) fail(place, json, "must be true");
  }

  static WeightTransfer::Map read_map(const Json& json, const std::string& place) {
    WeightTransfer::Map map;
    if (json.is_object() && json.contains("largest")) {
      only(json, place, {"dimension", "largest", "norm_of"});
      map.largest = {integer(json.at("largest"), place + "/largest", 1), text(json.at("norm_of"), place + "/norm_of")};
    } else {
      only(json, place, {"dimension", "indices"}, {"scale", "fill", "noise"});
      map.indices = integers(json.at("indices"), place + "/indices", -1);
      if (map.indices.empty()) fail(place + "/indices", json.at("indices"), "must name at least one slice");
      map.noise = noise(json, place);
      map.fill = number(json.value("fill", Json(0.0)), place + "/fill");
      const Json scale = json.value("scale", Json::array());
      for (const Json& one : array(scale, place + "/scale")) map.scale.push_back(number(one, place + "/scale"));
      if (json.contains("scale") && map.scale.size() != map.indices.size())
        fail(place + "/scale", scale,
             "must have " + std::to_string(map.indices.size()) + " numbers, one for each index");
    }
    map.dimension = integer(json.at("dimension"), place + "/dimension", 0);
    return map;
  }

  static WeightTransfer::Rule read_rule(const Json& json, const std::string& place) {
    if (!json.is_object()) fail(place, json, "must be an object");
    if (json.contains("pad")) {
      only(json, place, {"from", "pad"});
      const auto kernel = integers(json.at("pad"), place + "/pad", 1);
      if (kernel.size() != 2) fail(place + "/pad", json.at("pad"), "must be a height and a width");
      return WeightTransfer::Pad{text(json.at("from"), place + "/from"), kernel};
    }
    if (json.contains("from")) {
      only(json, place, {"from"}, {"gather"});
      WeightTransfer::Gather gather{text(json.at("from"), place + "/from")};
      const Json maps = json.value("gather", Json::array());
      for (std::size_t i = 0; i < array(maps, place + "/gather").size(); ++i)
        gather.maps.push_back(read_map(maps[i], place + "/gather/" + std::to_string(i)));
      return gather;
    }
    if (json.contains("identity")) {
      only(json, place, {"identity"}, {"noise"});
      const auto extents = integers(json.at("identity"), place + "/identity", 1);
      const bool odd = extents.size() == 4 && extents[2] % 2 == 1 && extents[3] % 2 == 1;
      if (!odd && extents.size() != 2)
        fail(place + "/identity", json.at("identity"),
             "must be [out, in] or [out, in / groups, height, width], the latter two odd");
      if (extents[0] % extents[1] != 0 || (extents.size() == 2 && extents[0] != extents[1]))
        fail(place + "/identity", json.at("identity"), "must have as many outputs as inputs");
      return WeightTransfer::Identity{extents, noise(json, place)};
    }
    if (json.contains("constant")) {
      only(json, place, {"constant", "extents"});
      return WeightTransfer::Constant{number(json.at("constant"), place + "/constant"),
                                      integers(json.at("extents"), place + "/extents", 1)};
    }
    if (json.contains("fresh")) {
      only(json, place, {"fresh"});
      is_true(json.at("fresh"), place + "/fresh");
      return WeightTransfer::Fresh{};
    }
    only(json, place, {"calibrated"});
    is_true(json.at("calibrated"), place + "/calibrated");
    return WeightTransfer::Calibrated{};
  }
};

inline Json to_json(const WeightTransfer::Map& map) {
  Json json = {{"dimension", map.dimension}};
  if (map.largest) {
    json["largest"] = map.largest->count;
    json["norm_of"] = map.largest->norm_of;
    return json;
  }
  json["indices"] = map.indices;
  if (!map.scale.empty()) json["scale"] = map.scale;
  if (map.fill != 0.0) json["fill"] = map.fill;
  if (map.noise > 0.0) json["noise"] = map.noise;
  return json;
}

struct RuleToJson {
  Json operator()(const WeightTransfer::Gather& rule) const {
    Json json = {{"from", rule.from}};
    for (const WeightTransfer::Map& map : rule.maps) json["gather"].push_back(to_json(map));
    return json;
  }
  Json operator()(const WeightTransfer::Pad& rule) const { return {{"from", rule.from}, {"pad", rule.kernel}}; }
  Json operator()(const WeightTransfer::Identity& rule) const {
    Json json = {{"identity", rule.extents}};
    if (rule.noise > 0.0) json["noise"] = rule.noise;
    return json;
  }
  Json operator()(const WeightTransfer::Constant& rule) const {
    return {{"constant", rule.value}, {"extents", rule.extents}};
  }
  Json operator()(const WeightTransfer::Fresh&) const { return {{"fresh", true}}; }
  Json operator()(const WeightTransfer::Calibrated&) const { return {{"calibrated", true}}; }
};

}  // namespace detail

WEFT_INLINE Json WeightTransfer::to_json() const {
  Json json = {{"transfer", 1}, {"steps", Json::array()}};
  for (const Step& step : steps) {
    Json written = Json::object();
    if (!step.morph.empty()) written["morph"] = step.morph;
    for (const auto& [name, rule] : step.tensors) written["tensors"][name] = std::visit(detail::RuleToJson{}, rule);
    if (!step.removed.empty()) written["removed"] = step.removed;
    json["steps"].push_back(std::move(written));
  }
  return json;
}

WEFT_INLINE WeightTransfer WeightTransfer::from_json(const Json& json) { return detail::TransferReader().read(json); }
#endif

}  // namespace weft
