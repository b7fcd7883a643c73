// The shape of one example's activation, without the batch dimension.
#pragma once

#include <cstdint>
#include <string>

#include "weft/error.hpp"
#include "weft/json.hpp"

namespace weft {

struct Shape {
  enum class Kind { image, features, sequence };

  Kind kind = Kind::features;
  std::int64_t channels = 0;  // features of a vector or of each position of a sequence
  std::int64_t height = 1;    // positions of a sequence
  std::int64_t width = 1;

  static Shape image(std::int64_t channels, std::int64_t height, std::int64_t width) {
    return {Kind::image, channels, height, width};
  }
  static Shape features(std::int64_t count) { return {Kind::features, count, 1, 1}; }
  static Shape sequence(std::int64_t positions, std::int64_t features) {
    return {Kind::sequence, features, positions, 1};
  }

  bool is_image() const { return kind == Kind::image; }
  std::int64_t elements() const { return channels * height * width; }
  friend bool operator==(const Shape&, const Shape&) = default;

  // "64 x 8 x 8", "128" or "35 x 200" (positions x features).
  std::string to_string() const {
    const auto text = [](std::int64_t value) { return std::to_string(value); };
    if (kind == Kind::image) return text(channels) + " x " + text(height) + " x " + text(width);
    return kind == Kind::features ? text(channels) : text(height) + " x " + text(channels);
  }

  // [channels, height, width], [features] or [positions, features].
  Json to_json() const;
  static Shape from_json(const Json& json);
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Json Shape::to_json() const {
  if (kind == Kind::image) return Json::array({channels, height, width});
  return kind == Kind::features ? Json::array({channels}) : Json::array({height, channels});
}

WEFT_INLINE Shape Shape::from_json(const Json& json) {
  if (!json.is_array() || json.empty() || json.size() > 3) {
    throw InvalidInput("a shape is [channels, height, width], [features] or [positions, features], not " + json.dump());
  }
  for (const Json& extent : json) {
    if (!extent.is_number_integer() || extent.get<std::int64_t>() < 1) {
      throw InvalidInput("every extent of a shape must be a positive integer; found " + json.dump());
    }
  }
  if (json.size() == 3) return image(json[0], json[1], json[2]);
  return json.size() == 2 ? sequence(json[0], json[1]) : features(json[0]);
}
#endif

}  // namespace weft
