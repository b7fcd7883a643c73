#include "host/study/provenance.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <random>
#include <set>
#include <string_view>

#include "host/plugins/library.hpp"
#include "host/plugins/schema.hpp"

namespace weft::host {
namespace {

// May change under a study that goes on: how long it searches, where, and what comes after.
constexpr std::array<std::string_view, 6> harmless = {"/budget",       "/executor", "/final",
                                                      "/keep_weights", "/name",     "/description"};

bool is_harmless(std::string_view pointer) {
  for (const std::string_view place : harmless) {
    if (pointer.starts_with(place) && (pointer.size() == place.size() || pointer[place.size()] == '/')) return true;
  }
  return false;
}

// All texts in it: names of plugins are among them.
std::set<std::string> texts_of(const Json& json) {
  if (json.is_string()) return {json.get<std::string>()};
  std::set<std::string> texts;
  if (json.is_structured()) {
    for (const Json& part : json) texts.merge(texts_of(part));
  }
  return texts;
}

std::string shown(const Json* value) { return value == nullptr ? "absent" : shortened(Journal::text(*value), 200); }

// The places at which two documents differ: the deepest that both could have.
void compare(const Json* was, const Json* is, const std::string& pointer, std::vector<Difference>& found) {
  if (was != nullptr && is != nullptr) {
    if (*was == *is) return;
    if (was->is_object() && is->is_object()) {
      std::set<std::string> names;
      for (const Json* side : {was, is}) {
        for (const auto& [name, value] : side->items()) names.insert(name);
      }
      for (const std::string& name : names) {
        const auto member = [&](const Json& object) { return object.contains(name) ? &object.at(name) : nullptr; };
        compare(member(*was), member(*is), pointer + "/" + name, found);
      }
      return;
    }
  }
  found.push_back({fmt::format("{} was {}, is {}", pointer, shown(was), shown(is)), is_harmless(pointer)});
}

// Version, library with the private ones that it brings, and where there are any its data files.
std::string library(const Json& plugin) {
  const std::string data = plugin.value("data", "");
  return fmt::format("{} (SHA-256 {}{})", plugin.value("version", "?"), plugin.value("sha256", "?").substr(0, 16),
                     data.empty() ? "" : ", data files " + data.substr(0, 16));
}

std::string random_name() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

}  // namespace

Json libraries_of(const Pipeline& pipeline) {
  Json plugins = Json::array();
  const std::vector<const Manifest*> used = pipeline.manifests();
  for (const Manifest* manifest : pipeline.manifests_within_reach()) {
    std::string sha256;
    try {
      sha256 = library_sha256(*manifest);
    } catch (const Error&) {
      if (std::find(used.begin(), used.end(), manifest) != used.end()) throw;
      continue;  // whoever names it is told
    }
    plugins.push_back({{"plugin", manifest->title()}, {"version", manifest->version}, {"sha256", sha256}});
    if (const std::string data = data_sha256(*manifest); !data.empty()) plugins.back()["data"] = data;
  }
  return plugins;
}

Provenance Provenance::begin(const Pipeline& pipeline) {
  return {.study = random_name(),
          .pipeline = pipeline.json(),
          .directory = std::filesystem::current_path().string(),
          .told = pipeline.told};
}

Provenance Provenance::read(const Journal& journal) {
  Provenance read;
  for (const char* kind : {"study", "change"}) {
    for (Json& body : journal.bodies(kind)) read.apply({0, kind, -1, std::move(body)});
  }
  return read;
}

void Provenance::apply(const Journal::Event& event) {
  if (event.kind != "study" && event.kind != "change") return;
  const Json& body = event.body;
  study = body.value("study", study);
  pipeline = body.value("pipeline", pipeline);
  plugins = body.value("plugins", plugins);
  task = body.value("task", task);
  fingerprint = body.value("fingerprint", fingerprint);
  test = body.value("test", test);
  directory = body.value("directory", directory);
  if (told.is_null()) told = body.value("told", Json());
}

Json Provenance::to_json() const {
  // What became empty is said, too, or the last value would count for ever.
  Json json = {{"weft", WEFT_VERSION},       {"pipeline", pipeline}, {"plugins", plugins}, {"task", task},
               {"fingerprint", fingerprint}, {"test", test},         {"told", told},       {"directory", directory}};
  if (!study.empty()) json["study"] = study;
  return json;
}

std::string Provenance::made_of(Phase phase) const {
  Json parts = {{"seed", pipeline.at("seed")}, {"task", task}, {"fingerprint", fingerprint}};
  const auto add = [&](const std::string& kind, const Json& use) {
    parts[kind] = use;
    const std::string title = kind + " " + use.at("name").get<std::string>();
    const std::set<std::string> named = texts_of(use);
    for (const Json& plugin : plugins) {
      const std::string other = plugin.at("plugin");
      const std::size_t space = other.find(' ');
      const bool nested = candidates_may_name(other.substr(0, space)) && named.contains(other.substr(space + 1));
      if (other == title || nested) parts["libraries"].push_back(plugin);
    }
  };
  if (pipeline.contains("dataset")) add("dataset", pipeline.at("dataset"));
  add("space", pipeline.at("space"));
  if (phase == Phase::final) {
    const Json& final = pipeline.at("final");
    add("evaluator", final.contains("evaluator") ? final.at("evaluator") : pipeline.at("evaluator"));
    parts["final"] = final.value("space", Json());
    if (final.contains("scale")) parts["scale"] = final.at("scale");
    parts["test"] = test;
  } else {
    add("evaluator", pipeline.at("evaluator"));
    if (pipeline.contains("oneshot")) add("oneshot", pipeline.at("oneshot"));
    if (pipeline.contains("fidelities")) parts["fidelities"] = pipeline.at("fidelities");
  }
  return fmt::format("{:016x}", hash_text(parts.dump()));
}

bool Provenance::enter_directory() const {
  if (directory.empty()) return false;
  std::error_code error;
  std::filesystem::current_path(directory, error);
  if (error) {
    spdlog::warn("{}: {}; the study was begun there, and its relative paths are now seen from {}", directory,
                 error.message(), std::filesystem::current_path().string());
  }
  return !error;
}

Json stored_pipeline(const StudyFolder& folder, const Provenance& provenance) {
  try {
    return read_json(folder.pipeline());
  } catch (const InvalidInput& unreadable) {
    if (provenance.pipeline.is_null()) throw;
    spdlog::warn("{}; the journal has it, too, and is believed", unreadable.what());
    return provenance.pipeline;
  }
}

std::vector<Difference> differences(const Provenance& was, const Provenance& is) {
  std::vector<Difference> found;
  if (!was.pipeline.is_null()) compare(&was.pipeline, &is.pipeline, "", found);
  if (!was.task.is_null()) {
    Json now = is.task;
    for (const auto& [name, value] : is.task.items()) {
      if (!was.task.contains(name)) now.erase(name);  // an earlier release did not know it
    }
    compare(&was.task, &now, "the data set's ", found);
  }
  if (!was.fingerprint.empty() && was.fingerprint != is.fingerprint) {
    found.push_back({fmt::format("the data that the evaluator answers from had the fingerprint {}, has {}",
                                 was.fingerprint, is.fingerprint),
                     false});
  }
  if (!was.test.empty() && !is.test.empty() && was.test != is.test) {
    found.push_back(
        {fmt::format("the data set's test split had the fingerprint {}, has {}", was.test, is.test), false});
  }
  for (const Json& now : is.plugins) {
    for (const Json& then : was.plugins) {
      if (then.at("plugin") != now.at("plugin") || then == now) continue;
      found.push_back(
          {fmt::format("{} was {}, is {}", now.at("plugin").get<std::string>(), library(then), library(now)), false});
    }
  }
  return found;
}

}  // namespace weft::host
