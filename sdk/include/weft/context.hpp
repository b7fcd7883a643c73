// What a plugin's instance is created with: its configuration, the study around it, its random stream, its
// collaborators, and the host's log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"
#include "weft/shape.hpp"
#include "weft/space.hpp"

namespace weft {

// The problem: what goes into a network and how many classes come out.
struct Task {
  Shape input = Shape::image(3, 32, 32);
  std::int64_t classes = 10;

  static Task from_json(const Json& json) { return {Shape::from_json(json.at("input")), json.at("classes")}; }
  Json to_json() const { return {{"input", input.to_json()}, {"classes", classes}}; }
};

// The host's log, as seen by one plugin. Copyable; valid as long as the plugin's instance.
class Log {
 public:
  Log() = default;
  explicit Log(const weft_context& context) : host_(context.host), log_(context.log) {}

  void debug(std::string_view message) const { write(0, message); }
  void info(std::string_view message) const { write(1, message); }
  void warning(std::string_view message) const { write(2, message); }
  void error(std::string_view message) const { write(3, message); }

 private:
  void write(std::int32_t level, std::string_view message) const {
    if (log_ != nullptr) log_(host_, level, detail::text(message));
  }
  void* host_ = nullptr;
  void (*log_)(void*, std::int32_t, weft_text) = nullptr;
};

// Makes the plugins that a recipe names, which are not known before a candidate is. Copyable; valid as long as the
// plugin's instance, whose thread alone may use it.
class Ingredients {
 public:
  Ingredients() = default;  // makes none
  explicit Ingredients(const weft_context& context)
      : host_(context.host),
        make_(detail::has(&context, &weft_context::make) ? context.make : nullptr),
        release_(detail::has(&context, &weft_context::release) ? context.release : nullptr) {}

  // `use` is {"name", "args"}, or a name: args are then those members of `around` that the plugin's manifest knows. It
  // is given back with the last copy of what is returned, before the plugin's own end. Throws InvalidInput naming what
  // does not exist or is refused; Error in hosts before ABI 1.1.
  std::shared_ptr<const weft_handle> make(std::string_view kind, const Json& use,
                                          const Json& around = Json::object()) const;

 private:
  void* host_ = nullptr;
  decltype(weft_context::make) make_ = nullptr;
  decltype(weft_context::release) release_ = nullptr;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE std::shared_ptr<const weft_handle> Ingredients::make(std::string_view kind, const Json& use,
                                                                 const Json& around) const {
  if (make_ == nullptr || release_ == nullptr)
    throw Error("this host makes no ingredients; update Weft to one with ABI 1.1 or later");
  weft_handle made{};
  detail::StringWriter error;
  const std::string use_text = use.dump(), around_text = around.dump();
  detail::check(make_(host_, detail::text(kind), detail::text(use_text), detail::text(around_text), &made, error),
                error);
  return {new weft_handle(made), [host = host_, release = release_](const weft_handle* handle) {
            release(host, *handle);
            delete handle;
          }};
}
#endif

// Valid during construction; keep what is needed of it (all members return values that may be kept).
class Context {
 public:
  explicit Context(const weft_context& context)
      : context_(&context),
        configuration_(detail::parse_json(context.configuration)),
        study_(detail::parse_json(context.study)) {}

  // The plugin's `args`: valid against its manifest's `parameters`, with every default filled in.
  const Json& configuration() const { return configuration_; }
  // One argument, e.g. get<int>("population_size"). Throws InvalidInput for an integer that T cannot hold.
  template <typename T>
  T get(const char* name) const {
    const Json& value = configuration_.at(name);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                                   : std::in_range<T>(value.get<std::int64_t>());
      if (!fits) {
        throw InvalidInput("/" + std::string(name) + " is " + value.dump() + "; must be from " +
                           std::to_string(std::numeric_limits<T>::min()) + " to " +
                           std::to_string(std::numeric_limits<T>::max()));
      }
    }
    return value.get<T>();
  }

  Rng rng() const { return Rng(context_->rng); }
  Log log() const { return Log(*context_); }
  Ingredients ingredients() const { return Ingredients(*context_); }
  SpaceRef space() const { return SpaceRef(collaborator("space")); }
  Task task() const { return study_.contains("task") ? Task::from_json(study_.at("task")) : Task{}; }

  // Absolute: where the plugin's manifest lies, and whatever it ships beside it. Read what is needed of it now: a newer
  // version may take its place while this instance lives. Throws Error in hosts before ABI 1.1.
  std::filesystem::path folder() const {
    if (context_->size < offsetof(weft_context, folder) + sizeof(weft_text))
      throw Error("this host does not tell a plugin its folder; update Weft to one with ABI 1.1 or later");
    if (context_->folder.size == 0) throw Error("this component has no folder: it was not opened from a manifest");
    return detail::view(context_->folder);
  }

  // {"task", "objectives": [{"name", "direction", "range"}..], "budget": {"trials", "seconds"}, "phase", "slots",
  // "fidelities": [{"name", "cost"}..]}; members may be absent. "direction" is "maximize" or "minimize", "range" the
  // least and the largest value; spaces and data sets are not told them: an objective may be created with them.
  const Json& study() const { return study_; }
  // During a search the test split must not be touched; a final evaluation may.
  bool final_phase() const { return study_.value("phase", "search") == "final"; }

  // The plugin that an argument names ("plugin": its kind, in the manifest), to be given to that kind's reference:
  // OptimizerRef(context.plugin("sampler")). Throws Error where the argument is absent.
  weft_handle plugin(const std::string& argument) const { return collaborator("/" + argument); }

  // Throws Error if the pipeline has no component in this role.
  weft_handle collaborator(std::string_view role) const {
    weft_handle found{};
    detail::StringWriter error;
    detail::check(
        detail::need(context_, &weft_context::collaborator)(context_->host, detail::text(role), &found, error), error);
    return found;
  }

 private:
  const weft_context* context_;
  Json configuration_;
  Json study_;
};

}  // namespace weft
