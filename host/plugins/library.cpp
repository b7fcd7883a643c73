#include "host/plugins/library.hpp"

#include <fmt/format.h>

#include <boost/dll/shared_library.hpp>
#include <cstring>
#include <map>

#include "weft/error.hpp"

namespace weft::host {
namespace {

// More components than any library has; a larger count is damage.
constexpr std::uint64_t most_components = 4096;

const weft_descriptor& descriptor_of(const std::filesystem::path& file) {
  // Never closed: code of a plugin may be reached for as long as the process lives.
  static auto* const open = new std::map<std::string, boost::dll::shared_library>;
  auto at = open->find(file.string());
  if (at == open->end()) {
    boost::dll::shared_library library;
    boost::dll::fs::error_code error;
    library.load(file.string(), error, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
    if (error) {
      // Boost keeps the code and drops the text; the loader's own words say which symbol or library is missing.
      const char* words = dlerror();
      throw Error(fmt::format("{}: cannot be opened: {}", file.string(), words != nullptr ? words : error.message()));
    }
    at = open->emplace(file.string(), std::move(library)).first;
  }
  if (!at->second.has("weft_plugin")) {
    throw Error(
        fmt::format("{}: exports no \"weft_plugin\"; is this a Weft plugin? Its source must end with WEFT_PLUGIN(...)",
                    file.string()));
  }
  return at->second.get<const weft_descriptor>("weft_plugin");
}

}  // namespace

const weft_component& find_component(const weft_descriptor& descriptor, const Manifest& manifest,
                                     const std::string& file) {
  const auto refuse = [&](const std::string& what) -> void { throw Error(fmt::format("{}: {}", file, what)); };
  if (std::memcmp(descriptor.magic, WEFT_MAGIC, sizeof(descriptor.magic)) != 0)
    refuse("the descriptor's magic is wrong; the library is damaged or no Weft plugin");
  if (descriptor.abi_major != WEFT_ABI_MAJOR) {
    refuse(fmt::format("the plugin has ABI {}.{}, this host {}.{}; rebuild the plugin or update Weft",
                       descriptor.abi_major, descriptor.abi_minor, WEFT_ABI_MAJOR, WEFT_ABI_MINOR));
  }
  if (descriptor.struct_size < offsetof(weft_descriptor, component_stride) + sizeof(std::uint64_t)) {
    refuse(fmt::format("the descriptor has {} bytes, at least {} are needed", descriptor.struct_size,
                       sizeof(weft_descriptor)));
  }
  const std::string torch_tag = descriptor.torch_tag != nullptr ? descriptor.torch_tag : "";
  if (manifest.is_torch() && torch_tag != WEFT_TORCH_TAG) {
    refuse(fmt::format("the plugin was built for \"{}\", this host is \"{}\"; rebuild the plugin with this SDK",
                       torch_tag, WEFT_TORCH_TAG));
  }
  constexpr std::uint64_t smallest = offsetof(weft_component, find_interface) + sizeof(void*);
  if (descriptor.component_count > most_components || descriptor.component_stride < smallest ||
      descriptor.components == nullptr) {
    refuse(fmt::format("the component table is damaged: {} components of {} bytes", descriptor.component_count,
                       descriptor.component_stride));
  }
  for (std::uint64_t i = 0; i < descriptor.component_count; ++i) {
    const auto* bytes = reinterpret_cast<const char*>(descriptor.components) + i * descriptor.component_stride;
    const auto& component = *reinterpret_cast<const weft_component*>(bytes);
    if (component.kind == nullptr || component.name == nullptr || component.kind != manifest.kind ||
        component.name != manifest.name)
      continue;
    if (component.size < smallest || component.create == nullptr || component.destroy == nullptr ||
        component.find_interface == nullptr) {
      refuse(fmt::format("the component {} lacks a required function", manifest.title()));
    }
    return component;
  }
  refuse(
      fmt::format("has no component \"{}\" of kind \"{}\", which its manifest promises", manifest.name, manifest.kind));
  std::abort();  // refuse does not return
}

const weft_component& open_component(const Manifest& manifest) {
  const std::filesystem::path file = manifest.library();
  if (!std::filesystem::exists(file)) {
    throw Error(fmt::format("{}: names the library {}, which does not exist", manifest.file.string(), file.string()));
  }
  return find_component(descriptor_of(file), manifest, file.string());
}

}  // namespace weft::host
