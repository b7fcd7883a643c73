// A plugin's manifest: all that the host knows of a plugin until it is used.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "weft/json.hpp"

namespace weft::host {

struct Manifest {
  std::filesystem::path file;  // of the manifest itself; the library lies beside it
  Json json;                   // with what its parameters refer to
  Json stated;                 // as the file has it
  std::string name, kind, tier, version, summary;
  std::vector<std::string> required, provided;  // capabilities

  // Kind and name: "optimizer my_optimizer".
  std::string title() const { return kind + " " + name; }
  std::filesystem::path library() const { return file.parent_path() / json.at("library").get<std::string>(); }
  const Json& parameters() const { return json.at("parameters"); }
  bool provides(const std::string& capability) const;
  bool is_torch() const { return tier == "torch"; }

  // Throws Refusal (E010 to E012) if the file cannot be read, or is no valid manifest of this ABI.
  static Manifest read(const std::filesystem::path& file, const Json& schema);
};

}  // namespace weft::host
