#include "host/pipelines/pipeline.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "host/pipelines/utf8.hpp"
#include "host/plugins/schema.hpp"
#include "host/plugins/strict_json.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/error.hpp"
#include "weft/rng.hpp"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

fs::path find_file(const std::string& name_or_file) {
  check_utf8(name_or_file, "the pipeline", "rename the file or its folder");
  std::error_code ignored;  // a name too long is no file's
  // A folder, such as a study that is named after its pipeline, hides none.
  if (fs::exists(name_or_file, ignored) && !fs::is_directory(name_or_file, ignored)) return name_or_file;
  fs::path installed = Installation::locate().pipelines / (name_or_file + ".json");
  if (fs::exists(installed, ignored)) return installed;
  const std::vector<std::string> known = Pipeline::installed();
  throw InvalidInput(fmt::format("{}: {}, and no installed pipeline has this name{} Installed are: {}", name_or_file,
                                 fs::is_directory(name_or_file, ignored) ? "a folder" : "no such file",
                                 ended(did_you_mean(name_or_file, known)), fmt::join(known, ", ")));
}

void apply_profile(Json& json, const std::string& profile, const std::string& file) {
  const Json profiles = json.value("profiles", Json::object());
  if (!profiles.contains(profile)) {
    std::vector<std::string> known;
    for (const auto& [name, patch] : profiles.items()) known.push_back(name);
    throw InvalidInput(fmt::format("{}: /profiles has no \"{}\"{}. There are: {}", file, profile,
                                   did_you_mean(profile, known),
                                   known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
  }
  json.merge_patch(profiles.at(profile));
}

// A list grows by one entry at a time, and only lists and objects have members.
void check_place(const Json& json, const Json::json_pointer& place) {
  std::vector<std::string> path;
  for (Json::json_pointer rest = place; !rest.empty(); rest.pop_back()) path.push_back(rest.back());
  std::reverse(path.begin(), path.end());
  if (path.size() > static_cast<std::size_t>(detail::deepest_nesting))
    throw InvalidInput(fmt::format("is nested deeper than {} levels", detail::deepest_nesting));
  Json::json_pointer above;
  const Json nothing;
  const Json* at = &json;
  for (const std::string& part : path) {
    const bool is_index = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (at->is_array() || (at->is_null() && is_index)) {
      const std::size_t size = at->size();
      if (part != "-" && !(is_index && part.size() < 10 && std::stoul(part) <= size))
        throw InvalidInput(
            fmt::format("{} has {} entries; \"{}\" must be 0 to {}", above.to_string(), size, part, size));
      at = part != "-" && std::stoul(part) < size ? &(*at)[std::stoul(part)] : &nothing;
    } else if (at->is_object() || at->is_null()) {
      at = at->contains(part) ? &at->at(part) : &nothing;
    } else {
      throw InvalidInput(
          fmt::format("{} is {}, which has no member \"{}\"", above.to_string(), shortened(at->dump()), part));
    }
    above /= part;
  }
}

// How a pipeline names a plugin.
const Json& plugin_schema() {
  static const Json schema = read_json(Installation::locate().schemas / "pipeline.json").at("definitions").at("plugin");
  return schema;
}

std::string replace_all(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

// JSON where it can be read as such, else text.
Json value_of(const std::string& text) {
  detail::check_bounds(text);
  if (Json::accept(text)) return read_strictly(text);
  if (text.starts_with('{') || text.starts_with('[') || text.starts_with('"'))
    throw InvalidInput(
        "the value begins as JSON does, but is none; are all brackets and quotes closed, and did the "
        "shell leave the quotes alone?");
  return text;
}

// "/budget/trials=100"; null removes, as in a profile.
void apply_setting(Json& json, const std::string& setting) {
  check_utf8(setting, "--set", "use a terminal that writes UTF-8, and rename files that have other names");
  const std::size_t equals = setting.find('=');
  if (setting.empty() || setting.front() != '/' || equals == std::string::npos) {
    throw InvalidInput(fmt::format("--set \"{}\": must be a JSON pointer, '=' and a value, such as /budget/trials=100",
                                   shortened(setting)));
  }
  try {
    const Json value = value_of(setting.substr(equals + 1));
    const Json::json_pointer place(setting.substr(0, equals));
    check_place(json, place);
    if (!value.is_null()) {
      json[place] = value;
    } else if (json.contains(place)) {
      json.at(place.parent_pointer()).erase(place.back());
    }
    detail::check_bounds(json.dump());
  } catch (const Error& error) {
    throw InvalidInput(fmt::format("--set \"{}\": {}", shortened(setting), error.what()));
  } catch (const Json::exception&) {
    throw InvalidInput(
        fmt::format("--set \"{}\": what is before '=' must be a JSON pointer; ~ is written ~0, a / in a name ~1",
                    shortened(setting)));
  }
}

}  // namespace

std::vector<std::string> Pipeline::installed() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(Installation::locate().pipelines, ignored)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Pipeline Pipeline::load(const std::string& name_or_file, const Overrides& overrides, const Catalogue& catalogue) {
  const fs::path file = find_file(name_or_file);
  Json json = read_json(file);
  if (!json.is_object()) throw InvalidInput(fmt::format("{}: must be a JSON object, a pipeline", file.string()));
  if (overrides.profile) apply_profile(json, *overrides.profile, file.string());
  apply(json, overrides.settings);
  if (overrides.seed) json["seed"] = *overrides.seed;
  return resolve(std::move(json), file.string(), catalogue, Defaults::current);
}

void Pipeline::apply(Json& json, const std::vector<std::string>& settings) {
  for (const std::string& setting : settings) apply_setting(json, setting);
}

Pipeline Pipeline::resolve(Json json, const std::string& file, const Catalogue& catalogue, Defaults defaults) {
  const Json schema = read_json(Installation::locate().schemas / "pipeline.json");
  validate(json, schema, file);
  fill_defaults(json, schema);
  json.erase("profiles");
  json.erase("$schema");

  Pipeline pipeline;
  pipeline.json_ = std::move(json);
  pipeline.file_ = file;
  pipeline.defaults_ = defaults;
  pipeline.catalogue_ = &catalogue;
  if (pipeline.json_.contains("dataset")) pipeline.dataset = pipeline.use("dataset", "/dataset", catalogue);
  pipeline.space = pipeline.use("space", "/space", catalogue);
  pipeline.optimizer = pipeline.use("optimizer", "/optimizer", catalogue);
  pipeline.evaluator = pipeline.use("evaluator", "/evaluator", catalogue);
  for (std::size_t i = 0; i < pipeline.json_.at("objectives").size(); ++i) {
    const std::string pointer = fmt::format("/objectives/{}", i);
    ObjectiveUse objective{pipeline.use("objective", pointer, catalogue), {}};
    const Json& entry = pipeline.json_.at("objectives")[i];
    if (entry.contains("limit")) objective.limit = entry.at("limit").get<double>();
    pipeline.objectives.push_back(std::move(objective));
  }
  pipeline.read_stoppers(catalogue);
  if (pipeline.json_.contains("oneshot")) {
    pipeline.oneshot = OneShotUse{pipeline.use("oneshot", "/oneshot", catalogue),
                                  pipeline.json_.at("oneshot").value("slots", std::vector<std::string>())};
  }
  const Json& budget = pipeline.json_.at("budget");
  if (budget.contains("trials")) pipeline.budget.trials = budget.at("trials").get<std::int64_t>();
  if (budget.contains("unique")) pipeline.budget.unique = budget.at("unique").get<std::int64_t>();
  if (budget.contains("seconds")) pipeline.budget.seconds = budget.at("seconds").get<double>();
  pipeline.budget.grace = budget.at("grace");
  pipeline.budget.failures = budget.at("failures");
  if (pipeline.json_.contains("final")) {
    Json& final = pipeline.json_.at("final");
    if (!final.contains("evaluator")) final["evaluator"] = pipeline.json_.at("evaluator");
    pipeline.final = Final{pipeline.final_space(catalogue), pipeline.use("evaluator", "/final/evaluator", catalogue),
                           final.at("top"), final.value("slots", std::vector<std::string>()), pipeline.read_scale()};
  }
  pipeline.choose_executor();
  pipeline.check_capabilities(catalogue);
  pipeline.told = {{"budget", Json::object()}, {"slots", std::max<std::size_t>(1, pipeline.slots.size())}};
  for (const char* limit : {"trials", "unique", "seconds"}) {
    if (budget.contains(limit)) pipeline.told["budget"][limit] = budget.at(limit);
  }
  pipeline.read_levels(catalogue);
  return pipeline;
}

Pipeline Pipeline::resolve_space(Json json, const std::string& file, const Catalogue& catalogue) {
  Pipeline pipeline;
  pipeline.json_ = std::move(json);
  pipeline.file_ = file;
  pipeline.catalogue_ = &catalogue;
  pipeline.told = {{"budget", pipeline.json_.value("budget", Json::object())}, {"slots", 1}};
  try {
    pipeline.space = pipeline.use("space", "/space", catalogue);
    if (pipeline.json_.contains("final"))
      pipeline.final = Final{pipeline.final_space(catalogue), {}, 1, {}, pipeline.read_scale()};
  } catch (const Json::exception& error) {
    throw InvalidInput(fmt::format("{}: /space cannot be read: {}", file, error.what()));
  }
  return pipeline;
}

namespace {

// Each once, in the order in which it was met.
class Manifests {
 public:
  void add(const Use& use) {
    add(*use.manifest);
    for (const Use& nested : use.nested) add(nested);
  }
  void add(const Manifest& manifest) {
    if (std::find(all_.begin(), all_.end(), &manifest) == all_.end()) all_.push_back(&manifest);
  }
  const std::vector<const Manifest*>& all() const { return all_; }

 private:
  std::vector<const Manifest*> all_;
};

bool takes_recipes(const Use& use) {
  const Json properties = use.manifest->parameters().value("properties", Json::object());
  return std::any_of(properties.begin(), properties.end(), [](const Json& schema) {
    return schema.is_object() && candidates_may_name(schema.value("plugin", ""));
  });
}

}  // namespace

bool candidates_may_name(const std::string& kind) {
  static const std::set<std::string> kinds = {"update_rule", "schedule",  "augmentation", "initialisation",
                                              "loss",        "operation", "module"};
  return kinds.contains(kind);
}

std::vector<const Manifest*> Pipeline::manifests() const {
  Manifests found;
  if (dataset) found.add(*dataset);
  for (const Use* use : {&space, &optimizer, &evaluator}) found.add(*use);
  for (const ObjectiveUse& objective : objectives) found.add(objective);
  for (const Use& stopper : stoppers) found.add(stopper);
  if (oneshot) found.add(*oneshot);
  if (final) found.add(final->evaluator);
  return found.all();
}

std::vector<const Manifest*> Pipeline::manifests_within_reach() const {
  Manifests found;
  for (const Manifest* manifest : manifests()) found.add(*manifest);
  if (final) found.add(final->space);
  for (const Pipeline& level : levels) {
    if (level.dataset) found.add(*level.dataset);
    for (const Use* use : {&level.space, &level.evaluator}) found.add(*use);
  }
  const bool recipes =
      takes_recipes(evaluator) || (oneshot && takes_recipes(*oneshot)) || (final && takes_recipes(final->evaluator));
  if (!recipes || catalogue_ == nullptr) return found.all();
  for (const Catalogue::Entry& entry : catalogue_->entries()) {
    if (entry.shadowed_by.empty() && candidates_may_name(entry.manifest.kind)) found.add(entry.manifest);
  }
  return found.all();
}

// Finds the plugin named at `pointer`.
Use Pipeline::use(const std::string& kind, const std::string& pointer, const Catalogue& catalogue) {
  const std::string name = json_.at(Json::json_pointer(pointer + "/name"));
  return use(catalogue.find(kind, name, fmt::format("{}: {}/name", file_, pointer)), pointer, catalogue);
}

namespace {

// A plugin whose default names itself would be nested without end.
void expect_shallow(const Manifest& manifest, const std::string& pointer) {
  constexpr int most = 20;
  int depth = 0;
  for (std::size_t at = pointer.find("/args/"); at != std::string::npos; at = pointer.find("/args/", at + 1)) ++depth;
  if (depth > most)
    throw InvalidInput(
        fmt::format("{}: plugins are nested more than {} deep, down to {}; does one name itself by default?",
                    pointer.substr(0, 80), most, manifest.title()));
}

}  // namespace

// Checks the args at `pointer` against the plugin's manifest and fills in their defaults, also of plugins that they
// name.
Use Pipeline::use(const Manifest& manifest, const std::string& pointer, const Catalogue& catalogue) {
  expect_shallow(manifest, pointer);
  Json& args = json_[Json::json_pointer(pointer)]["args"];
  if (args.is_null()) args = Json::object();
  fill_defaults(args, manifest.parameters(), defaults_);
  validate(args, manifest.parameters(), file_, pointer + "/args");
  Use use{&manifest, {}};
  const Json properties = manifest.parameters().value("properties", Json::object());
  for (const auto& [argument, schema] : properties.items()) {
    if (!schema.is_object() || !args.contains(argument)) continue;
    if (schema.contains("plugin")) {
      use.nested.push_back(nested(schema.at("plugin"), argument, pointer, catalogue));
    } else if (args.at(argument).is_array() && schema.value("items", Json()).is_object() &&
               schema.at("items").contains("plugin")) {
      for (std::size_t i = 0; i < args.at(argument).size(); ++i)
        use.nested.push_back(
            nested(schema.at("items").at("plugin"), fmt::format("{}/{}", argument, i), pointer, catalogue));
    }
  }
  use.args = args;
  return use;
}

namespace {

bool fits(const Json& value, const Json& schema) {
  try {
    validate(value, schema, "");
    return true;
  } catch (const InvalidInput&) {
    return false;
  }
}

// Of a plugin that is named without args: those of the asking one's that it knows. What is of another form means
// something else.
Json shared_args(const Manifest& manifest, const Json& around) {
  Json args = Json::object();
  const Json properties = manifest.parameters().value("properties", Json::object());
  for (const auto& [name, schema] : properties.items()) {
    if (around.contains(name) && fits(around.at(name), schema)) args[name] = around.at(name);
  }
  return args;
}

}  // namespace

// `argument` of the plugin at `pointer`: {"name", "args"}, or a name alone.
Use Pipeline::nested(const std::string& kind, const std::string& argument, const std::string& pointer,
                     const Catalogue& catalogue) {
  const std::string place = fmt::format("{}/args/{}", pointer, argument);
  const Json& given = json_.at(Json::json_pointer(place));
  Use nested;
  if (given.is_string()) {
    const Manifest& manifest = catalogue.find(kind, given, fmt::format("{}: {}", file_, place));
    Json args = shared_args(manifest, json_.at(Json::json_pointer(pointer + "/args")));
    fill_defaults(args, manifest.parameters(), defaults_);
    validate(args, manifest.parameters(), file_, place + "/args");
    Pipeline alone;  // which has the plugins that its defaults name
    alone.file_ = file_;
    alone.defaults_ = defaults_;
    alone.json_[Json::json_pointer(place)] = {{"args", std::move(args)}};
    nested = alone.use(manifest, place, catalogue);
  } else {
    validate(given, plugin_schema(), file_, place);
    nested = use(kind, place, catalogue);
  }
  nested.argument = argument;
  return nested;
}

namespace {

// Of an ingredient's error, which has one mistake a line, each with its place in a pipeline of its own.
std::string without_place(const std::string& error) {
  std::string told;
  std::istringstream lines(error);
  for (std::string line; std::getline(lines, line);) {
    std::string_view text = line;
    for (const std::string_view place : {": ", "/of/args", "/ingredient", ": "}) {
      if (text.starts_with(place)) text.remove_prefix(place.size());
    }
    told += (told.empty() ? "" : "\n") + std::string(text);
  }
  return told;
}

}  // namespace

Use Pipeline::ingredient(const std::string& kind, const Json& use, const Json& around) const {
  Pipeline alone;
  alone.defaults_ = defaults_;
  alone.json_ = {{"of", {{"args", around.is_object() ? around : Json::object()}}}};
  alone.json_["of"]["args"]["ingredient"] = use;
  try {
    return alone.nested(kind, "ingredient", "/of", *catalogue_);
  } catch (const InvalidInput& error) {
    throw InvalidInput(without_place(error.what()));
  }
}

void Pipeline::read_stoppers(const Catalogue& catalogue) {
  const std::size_t count = json_.value("stoppers", Json::array()).size();
  for (std::size_t i = 0; i < count; ++i) stoppers.push_back(use("stopper", fmt::format("/stoppers/{}", i), catalogue));
}

// Each level is a pipeline of its own, and what is wrong with its args is told at the place of its patch.
void Pipeline::read_levels(const Catalogue& catalogue) {
  const Json entries = json_.value("fidelities", Json::array());
  Json told_levels = Json::array();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    Json patched = json_;
    for (const char* part : {"fidelities", "final", "stoppers"}) patched.erase(part);
    for (const char* part : {"space", "dataset", "evaluator"}) {
      if (!entries[i].contains(part)) continue;
      if (!patched.contains(part)) {
        throw InvalidInput(
            fmt::format("{}: /fidelities/{}/{} is given, but the pipeline has no /{}", file_, i, part, part));
      }
      patched[part].merge_patch(entries[i].at(part));
    }
    try {
      levels.push_back(resolve(std::move(patched), file_, catalogue, defaults_));
    } catch (const InvalidInput& error) {
      throw InvalidInput(replace_all(error.what(), file_ + ": /", fmt::format("{}: /fidelities/{}/", file_, i)));
    }
    const std::string name = entries[i].value("name", fmt::format("level {}", i));
    for (std::size_t other = 0; other < i; ++other) {
      if (told_levels[other].at("name") == name)
        throw InvalidInput(
            fmt::format("{}: /fidelities/{} is named \"{}\", as /fidelities/{} is; give each a name of its own", file_,
                        i, name, other));
    }
    told_levels.push_back({{"name", name}});
    if (entries[i].contains("cost")) told_levels.back()["cost"] = entries[i].at("cost");
  }
  if (!told_levels.empty()) told["fidelities"] = std::move(told_levels);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    levels[i].told = told;
    levels[i].file_ = fmt::format("{}: /fidelities/{}", file_, i);  // for what its plugins find wrong
  }
}

void Pipeline::keep_told(const Json& then) {
  const auto names = [](const Json& told) {
    std::string names;
    for (const Json& level : told.value("fidelities", Json::array()))
      names += (names.empty() ? "" : ", ") + level.at("name").get<std::string>();
    return names.empty() ? "none" : names;
  };
  if (names(then) != names(told)) {
    throw InvalidInput(
        fmt::format("{}: /fidelities are {}; the study was begun with {}, which its optimizer and its trials "
                    "know by their numbers. Put those back, in their order; others are for a new study",
                    file_, names(told), names(then)));
  }
  told = then;
  for (Pipeline& level : levels) level.told = then;
}

void Pipeline::tell_one_shot(const Json& result) {
  told["oneshot"] = result;
  if (budget.seconds) *budget.seconds += result.value("seconds", 0.0);
  for (Pipeline& level : levels) level.tell_one_shot(result);
}

std::optional<int> Pipeline::epochs() const {
  const Json epochs = evaluator.args.value("epochs", Json());
  return epochs.is_number_integer() ? std::optional(epochs.get<int>()) : std::nullopt;
}

// The space that builds the final networks: that of the search, under a merge patch of its args.
Use Pipeline::final_space(const Catalogue& catalogue) {
  Json& final = json_.at("final");
  if (!final.contains("space")) return space;
  Json args = space.args;
  args.merge_patch(final.at("space").at("args"));
  final["space"]["args"] = std::move(args);
  return use(*space.manifest, "/final/space", catalogue);
}

std::optional<Scale> Pipeline::read_scale() const {
  const Json& final = json_.at("final");
  if (!final.contains("scale")) return {};
  const Json& given = final.at("scale");
  Scale scale{given.at("argument"), given.at("parameters"), given.at("multiple_of")};
  std::vector<std::string> known;
  const Json properties = space.manifest->parameters().value("properties", Json::object());
  for (const auto& [name, schema] : properties.items()) {
    if (!schema.is_object() || schema.value("type", Json()) != "integer") continue;
    known.push_back(name);
    if (name != scale.argument) continue;
    scale.largest = schema.value("maximum", std::int64_t{1} << 30);
    return scale;
  }
  throw InvalidInput(fmt::format(
      "{}: /final/scale/argument is \"{}\"; must be an integer argument of {}{} There are: {}", file_, scale.argument,
      space.manifest->title(), ended(did_you_mean(scale.argument, known)), fmt::join(known, ", ")));
}

void Pipeline::choose_executor() {
  const bool can_be_inline = evaluator.manifest->provides("evaluator.inline");
  const Json executor = json_.value("executor", Json::object());
  is_inline = executor.value("name", can_be_inline ? "inline" : "local") == "inline";
  if (is_inline && !can_be_inline) {
    throw InvalidInput(
        fmt::format("{}: /executor/name is \"inline\", but evaluator {} does not run inside the host; use \"local\"",
                    file_, evaluator.manifest->name));
  }
  if (is_inline && executor.contains("slots")) {
    throw InvalidInput(fmt::format(
        "{}: /executor/slots is given, but \"inline\" has no slots; use \"local\" or leave them out", file_));
  }
  slots = executor.value("slots", std::vector<std::string>());
  if (!is_inline && slots.empty()) slots.assign(std::max(1U, std::thread::hardware_concurrency()), "cpu:1");
}

void Pipeline::check_capabilities(const Catalogue& catalogue) const {
  const std::vector<const Manifest*> parts = manifests();
  std::set<std::string> provided;
  for (const Manifest* part : parts) {
    // The final evaluator provides nothing to the search.
    if (final && part == final->evaluator.manifest && part != evaluator.manifest) continue;
    provided.insert(part->kind);
    provided.insert(part->provided.begin(), part->provided.end());
  }

  // "space.mutation" is a space's to provide, "dataset.images" a data set's; a metric is an evaluator's.
  const auto blamed = [&](const std::string& capability) {
    const std::string owner = capability.substr(0, capability.find('.'));
    const std::string kind = owner == "metric" ? "evaluator" : owner;
    for (const Manifest* part : parts) {
      if (part->kind == kind) return fmt::format("{}, which does not provide it", part->title());
    }
    return fmt::format("the pipeline, which has no {}", kind);
  };
  std::vector<std::string> problems;
  for (const Manifest* part : parts) {
    for (const std::string& capability : part->required) {
      if (provided.contains(capability)) continue;
      const std::vector<std::string> able = catalogue.providing(capability);
      problems.push_back(fmt::format("{}: {} needs \"{}\" from {}. Installed plugins that have it: {}", file_,
                                     part->title(), capability, blamed(capability),
                                     able.empty() ? "none" : fmt::format("{}", fmt::join(able, ", "))));
    }
  }
  if (!problems.empty()) throw InvalidInput(fmt::format("{}", fmt::join(problems, "\n")));
}

}  // namespace weft::host
