#include "weft/torch/recipe.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "weft/error.hpp"

namespace weft {

namespace {

template <typename T>
std::string must_be() {
  if constexpr (std::is_same_v<T, bool>) return "must be true or false";
  if constexpr (std::is_integral_v<T>) return "must be an integer";
  if constexpr (std::is_floating_point_v<T>) return "must be a number";
  if constexpr (std::is_same_v<T, std::string>) return "must be a text";
  return std::is_same_v<T, std::vector<int>> ? "must be a list of integers" : "must be two numbers";
}

template <typename T>
Json number(double value) {
  return std::is_integral_v<T> ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

// Reads members one by one and remembers which there are.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  template <typename T>
  void read(const char* name, T& member) {
    known_.insert(name);
    if (!json_.contains(name)) throw InvalidInput("the training recipe lacks /" + std::string(name));
    try {
      member = json_.at(name).get<T>();
    } catch (const Json::exception&) {
      refuse(name, must_be<T>());
    }
  }

  // Low and high are allowed themselves. Integers are of 31 bits.
  template <typename T>
  void read(const char* name, T& member, double low, double high = std::numeric_limits<double>::infinity()) {
    read(name, member);
    const Json& given = json_.at(name);
    if (!given.is_number() || (std::is_integral_v<T> && !given.is_number_integer())) refuse(name, must_be<T>());
    if (std::is_integral_v<T>) high = std::min(high, double{std::numeric_limits<int>::max()});
    const auto value = given.get<double>();  // `member` may not hold it
    if (value >= low && value <= high) return;
    const std::string least = number<T>(low).dump(), most = number<T>(high).dump();
    refuse(name, std::isinf(high) ? "must be at least " + least : "must be from " + least + " to " + most);
  }

  // An enumeration whose values are numbered as `names`.
  template <typename T>
  void choose(const char* name, T& member, const std::vector<std::string>& names) {
    std::string text;
    read(name, text);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] != text) continue;
      member = static_cast<T>(i);
      return;
    }
    refuse(name, "must be one of " + Json(names).dump());
  }

  void finish() const {
    for (const auto& [name, value] : json_.items()) {
      if (!known_.contains(name))
        throw InvalidInput("/" + name + " is not a member of a training recipe; those are " + Json(known_).dump());
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& rule) const {
    throw InvalidInput("/" + name + " is " + json_.at(name).dump() + "; " + rule);
  }

  const Json& json_;
  std::set<std::string> known_;
};

}  // namespace

Recipe Recipe::from_json(const Json& json) {
  Recipe recipe{};
  Reader reader(json);
  reader.read("epochs", recipe.epochs, 1);
  reader.read("batch_size", recipe.batch_size, 1);
  reader.choose("update_rule", recipe.update_rule, {"sgd", "adam"});
  reader.read("lr", recipe.lr, 0.0);
  reader.read("momentum", recipe.momentum, 0.0, 1.0);
  reader.read("nesterov", recipe.nesterov);
  reader.read("betas", recipe.betas);
  reader.read("eps", recipe.eps, 0.0);
  reader.read("weight_decay", recipe.weight_decay, 0.0);
  reader.read("gradient_clip", recipe.gradient_clip, 0.0);
  reader.choose("schedule", recipe.schedule, {"constant", "cosine", "step", "sgdr"});
  if (json.contains("schedule_epochs")) reader.read("schedule_epochs", recipe.schedule_epochs, 0);
  reader.read("lr_min", recipe.lr_min, 0.0);
  reader.read("milestones", recipe.milestones);
  reader.read("gamma", recipe.gamma, 0.0);
  reader.read("restart_epochs", recipe.restart_epochs, 1);
  reader.read("restart_factor", recipe.restart_factor, 1);
  reader.read("warmup_epochs", recipe.warmup_epochs, 0);
  reader.read("label_smoothing", recipe.label_smoothing, 0.0, 1.0);
  reader.read("drop_path", recipe.drop_path, 0.0, 1.0);
  reader.read("auxiliary_weight", recipe.auxiliary_weight, 0.0);
  reader.read("crop_padding", recipe.augmentation.crop_padding, 0);
  reader.read("flip", recipe.augmentation.flip);
  reader.read("cutout", recipe.augmentation.cutout, 0);
  reader.choose("mixed_precision", recipe.mixed_precision, {"off", "bf16"});
  reader.finish();
  for (const double beta : recipe.betas) {
    if (beta < 0.0 || beta >= 1.0)
      throw InvalidInput("/betas is " + Json(recipe.betas).dump() + "; both must be in [0, 1)");
  }
  return recipe;
}

double Recipe::learning_rate(double elapsed) const {
  if (elapsed < warmup_epochs) return lr * elapsed / warmup_epochs;
  const auto annealed = [&](double t) {
    return lr_min + (lr - lr_min) * (1.0 + std::cos(std::numbers::pi * t)) / 2.0;
  };
  double rate = lr;
  const int length = schedule_epochs > 0 ? schedule_epochs : epochs;
  if (schedule == Schedule::cosine && warmup_epochs < length)
    rate = annealed(std::min(1.0, (elapsed - warmup_epochs) / (length - warmup_epochs)));
  if (schedule == Schedule::sgdr) {
    double within = elapsed - warmup_epochs, period = restart_epochs;
    for (; within >= period; period *= restart_factor) within -= period;
    rate = annealed(within / period);
  }
  if (schedule == Schedule::step) {
    for (const int milestone : milestones) {
      if (elapsed >= milestone) rate *= gamma;
    }
  }
  return rate;
}

}  // namespace weft
