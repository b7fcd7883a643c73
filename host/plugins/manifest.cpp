#include "host/plugins/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/plugins/schema.hpp"
#include "weft/abi.h"

namespace weft::host {

bool Manifest::provides(const std::string& capability) const {
  return std::find(provided.begin(), provided.end(), capability) != provided.end();
}

Manifest Manifest::read(const std::filesystem::path& file, const Json& schema) {
  Manifest manifest;
  manifest.file = file;
  manifest.json = read_json(file);
  validate(manifest.json, schema, file.string());
  manifest.name = manifest.json.at("name");
  manifest.kind = manifest.json.at("kind");
  manifest.tier = manifest.json.at("tier");
  manifest.version = manifest.json.at("version");
  manifest.summary = manifest.json.at("summary");
  manifest.required = manifest.json.at("requires").get<std::vector<std::string>>();
  manifest.provided = manifest.json.at("provides").get<std::vector<std::string>>();

  const std::string abi = manifest.json.at("abi");
  if (std::stoi(abi) != WEFT_ABI_MAJOR) {
    throw InvalidInput(
        fmt::format("{}: /abi is \"{}\"; this host knows major version {}. Rebuild the plugin or update Weft",
                    file.string(), abi, WEFT_ABI_MAJOR));
  }
  const std::filesystem::path library = manifest.json.at("library").get<std::string>();
  const bool inside = library.is_relative() &&
                      std::none_of(library.begin(), library.end(), [](const auto& part) { return part == ".."; });
  if (!inside) {
    throw InvalidInput(
        fmt::format("{}: /library is \"{}\"; must be a path inside the manifest's folder, without \"..\"",
                    file.string(), library.string()));
  }
  return manifest;
}

}  // namespace weft::host
