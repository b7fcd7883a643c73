#include "host/plugins/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/plugins/dialect.hpp"
#include "host/plugins/refusal.hpp"
#include "host/plugins/schema.hpp"
#include "weft/abi.h"

namespace weft::host {

namespace fs = std::filesystem;

bool Manifest::provides(const std::string& capability) const {
  return std::find(provided.begin(), provided.end(), capability) != provided.end();
}

namespace {

// A later minor version is no obstacle: tables only grow, and what a plugin lacks of a host it asks for by size.
void check_abi(const Manifest& manifest) {
  const std::string abi = manifest.json.at("abi");
  if (abi.substr(0, abi.find('.')) == std::to_string(WEFT_ABI_MAJOR)) return;
  throw Refusal(Code::manifest_abi, manifest.file.string(), fmt::format("/abi is \"{}\"", abi),
                fmt::format("major version {}, which this host knows", WEFT_ABI_MAJOR),
                "rebuild the plugin or update Weft");
}

// A default that its own rule refuses would be blamed on whoever gave nothing.
void check_defaults(const Json& parameters, const std::string& file) {
  const Json properties = parameters.value("properties", Json::object());
  for (const auto& [name, parameter] : properties.items()) {
    if (parameter.is_object() && parameter.contains("default"))
      validate(parameter.at("default"), parameter, file, "/parameters/properties/" + name + "/default");
  }
}

// `parameters` that refer to a schema in a file beside the manifest, with its properties: their own are merge patches
// over those, and false leaves one out.
void refer(Json& parameters, const fs::path& manifest) {
  if (!parameters.contains("$ref") || !parameters.at("$ref").is_string()) return;
  const std::string file = parameters.at("$ref");
  if (file.find_first_of("/#") != std::string::npos || !file.ends_with(".json")) return;  // within the document
  const fs::path path = manifest.parent_path() / file;
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_regular_file(path, error))
    throw InvalidInput(fmt::format("{}: is no regular file", path.string()));
  const Json schema = read_json(path);
  if (!schema.is_object() || !schema.value("properties", Json()).is_object())
    throw InvalidInput(fmt::format("{}: must be a JSON Schema, an object with /properties, as {} refers to it",
                                   path.string(), manifest.string()));
  Json properties = schema.at("properties");
  const Json own = parameters.value("properties", Json::object());
  for (const auto& [name, property] : own.items())
    property == false ? static_cast<void>(properties.erase(name)) : properties[name].merge_patch(property);
  parameters.erase("$ref");
  parameters["properties"] = std::move(properties);
}

}  // namespace

Manifest Manifest::read(const std::filesystem::path& file, const Json& schema) {
  Manifest manifest;
  manifest.file = file;
  std::error_code error;
  try {
    // A pipe would be waited for.
    if (fs::exists(file, error) && !fs::is_regular_file(file, error))
      throw InvalidInput(fmt::format("{}: is no regular file", file.string()));
    manifest.json = read_json(file);
  } catch (const InvalidInput& unreadable) {
    throw Refusal(Code::manifest_unreadable, to_string(Code::manifest_unreadable) + " " + unreadable.what());
  }
  try {
    validate(manifest.json, schema, file.string());
    manifest.stated = manifest.json;
    refer(manifest.json["parameters"], file);
    try {
      check_defaults(unfolded(manifest.parameters(), "/parameters"), file.string());
    } catch (const InvalidInput& unusable) {
      throw InvalidInput(fmt::format("{}: {}", file.string(), unusable.what()));
    }
  } catch (const InvalidInput& invalid) {
    throw Refusal(Code::manifest_invalid, to_string(Code::manifest_invalid) + " " + invalid.what());
  }
  manifest.name = manifest.json.at("name");
  manifest.kind = manifest.json.at("kind");
  manifest.tier = manifest.json.at("tier");
  manifest.version = manifest.json.at("version");
  manifest.summary = manifest.json.at("summary");
  manifest.required = manifest.json.at("requires").get<std::vector<std::string>>();
  manifest.provided = manifest.json.at("provides").get<std::vector<std::string>>();

  check_abi(manifest);
  return manifest;
}

}  // namespace weft::host
