#include "weft/torch/recipe.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
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
  return "must be of another type";
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
    expect(name);
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

  // The plugin of this kind that the member names.
  template <typename Kind>
  std::shared_ptr<const Kind> plugin(const char* name, const Ingredients& ingredients) {
    expect(name);
    return made<Kind>(json_.at(name), name, ingredients);
  }
  template <typename Kind>
  std::vector<std::shared_ptr<const Kind>> plugins(const char* name, const Ingredients& ingredients) {
    expect(name);
    if (!json_.at(name).is_array()) refuse(name, "must be a list of plugins");
    std::vector<std::shared_ptr<const Kind>> list;
    for (const Json& use : json_.at(name))
      list.push_back(made<Kind>(use, std::string(name) + "/" + std::to_string(list.size()), ingredients));
    return list;
  }
  // What an ingredient reads that is named without arguments of its own.
  void leave(const char* name) { known_.insert(name); }

  void finish() const {
    for (const auto& [name, value] : json_.items()) {
      if (!known_.contains(name))
        throw InvalidInput("/" + name + " is not a member of a training recipe; those are " + Json(known_).dump());
    }
  }

 private:
  void expect(const char* name) {
    known_.insert(name);
    if (!json_.contains(name)) throw InvalidInput("the training recipe lacks /" + std::string(name));
  }

  template <typename Kind>
  std::shared_ptr<const Kind> made(const Json& use, const std::string& place, const Ingredients& ingredients) const {
    try {
      if constexpr (std::is_same_v<Kind, Schedule>) {
        return std::make_shared<ScheduleRef>(ingredients.make(Schedule::kind, use, json_));
      } else {
        return ingredient<Kind>(ingredients, use, json_);
      }
    } catch (const InvalidInput& error) {
      // Of one that is named alone, "/eps is -1" is said of the recipe's.
      std::string_view text = error.what();
      if (use.is_string() && text.starts_with("/args")) text.remove_prefix(5);
      if (use.is_string() && text.starts_with('/')) throw InvalidInput(std::string(text));
      const bool goes_on = text.starts_with('/') || text.starts_with(':');
      throw InvalidInput("/" + place + (goes_on ? "" : ": ") + std::string(text));
    }
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& rule) const {
    throw InvalidInput("/" + name + " is " + json_.at(name).dump() + "; " + rule);
  }

  const Json& json_;
  std::set<std::string> known_;
};

}  // namespace

Recipe Recipe::from_json(const Json& json, const Ingredients& ingredients) {
  Recipe recipe{};
  Reader reader(json);
  reader.read("epochs", recipe.epochs, 1);
  reader.read("batch_size", recipe.batch_size, 1);
  recipe.update_rule = reader.plugin<UpdateRule>("update_rule", ingredients);
  reader.read("lr", recipe.lr, 0.0);
  reader.read("weight_decay", recipe.weight_decay, 0.0);
  reader.read("decay_weights_only", recipe.decay_weights_only);
  reader.read("gradient_clip", recipe.gradient_clip, 0.0);
  recipe.schedule = reader.plugin<Schedule>("schedule", ingredients);
  if (json.contains("schedule_epochs")) reader.read("schedule_epochs", recipe.schedule_epochs, 0);
  reader.read("warmup_epochs", recipe.warmup_epochs, 0);
  reader.read("warmup_from_zero", recipe.warmup_from_zero);
  reader.read("drop_path", recipe.drop_path, 0.0, 1.0);
  reader.choose("drop_path_schedule", recipe.drop_path_schedule, {"linear", "linear_to_end", "constant"});
  if (json.contains("initialisation"))
    recipe.initialisation = reader.plugin<Initialisation>("initialisation", ingredients);
  recipe.losses = reader.plugins<Loss>("loss", ingredients);
  recipe.augmentation.others = reader.plugins<Augmentation>("augmentation", ingredients);
  reader.read("crop_padding", recipe.augmentation.crop_padding, 0);
  reader.read("flip", recipe.augmentation.flip);
  reader.read("cutout", recipe.augmentation.cutout, 0);
  reader.choose("mixed_precision", recipe.mixed_precision, {"off", "bf16"});
  for (const char* name : {"momentum", "nesterov", "betas", "eps", "lr_min", "milestones", "gamma", "restart_epochs",
                           "restart_factor", "label_smoothing", "auxiliary_weight"})
    reader.leave(name);
  reader.finish();
  const auto is_penalty = [](const auto& loss) { return loss->is_penalty(); };
  if (std::all_of(recipe.losses.begin(), recipe.losses.end(), is_penalty))
    throw InvalidInput("/loss is " + json.at("loss").dump() +
                       "; one of them must learn from the examples, as \"cross_entropy\" does");
  return recipe;
}

double Recipe::learning_rate(double elapsed, double step) const {
  if (elapsed < warmup_epochs) return lr * std::min(1.0, (elapsed + (warmup_from_zero ? 0.0 : step)) / warmup_epochs);
  return schedule ? schedule->rate(lr, {elapsed, double(warmup_epochs), double(length())}) : lr;
}

std::optional<double> Recipe::momentum(double elapsed) const {
  if (!schedule || elapsed < warmup_epochs) return {};
  return schedule->momentum({elapsed, double(warmup_epochs), double(length())});
}

double Recipe::drop_path_at(int epoch) const {
  switch (drop_path_schedule) {
    case DropPath::constant:
      return drop_path;
    case DropPath::linear_to_end:
      return length() == 1 ? drop_path : drop_path * std::min(1.0, double(epoch - 1) / double(length() - 1));
    case DropPath::linear:
      break;
  }
  return drop_path * progress(epoch - 1);
}

Json merged_recipe(Json recipe, const Json& changes) {
  const Json augmentation = recipe.value("augmentation", Json::array());
  for (const auto& [name, change] : changes.items()) {
    const bool other_plugin = change.is_object() && change.contains("name") && recipe.contains(name) &&
                              recipe.at(name).is_object() && recipe.at(name).value("name", Json()) != change.at("name");
    if (other_plugin) recipe.erase(name);
  }
  recipe.merge_patch(changes);
  if (changes.contains("augmentation") && changes.at("augmentation").is_array() && augmentation.is_array()) {
    recipe["augmentation"] = augmentation;
    for (const Json& added : changes.at("augmentation")) recipe["augmentation"].push_back(added);
  }
  return recipe;
}

}  // namespace weft
