#include "host/plugins/library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

// sha2.h needs <sys/types.h> before it.
// clang-format off
#include <sha2.h>
// clang-format on

#include "host/plugins/inspection.hpp"
#include "host/plugins/probe.hpp"
#include "host/plugins/refusal.hpp"
#include "host/plugins/schema.hpp"
#include "host/plugins/sealed_library.hpp"
#include "host/processes/signals.hpp"

namespace weft::host {
namespace {

// More components than any library has; a larger count is damage.
constexpr std::uint64_t most_components = 4096;
constexpr std::uint64_t largest_component = 65536;
constexpr std::uintmax_t most_hashed = std::uintmax_t{1} << 30;  // bytes of data files

std::string file_sha256(const std::filesystem::path& file) {
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digest{};
  return SHA256File(file.c_str(), digest.data()) != nullptr ? digest.data() : "cannot be read";
}

struct OpenLibrary {
  const weft_descriptor* descriptor;
  std::string sha256;
  std::set<std::string> manifests;  // the files that were held against it
};

// By path. None is ever closed: a plugin's code may be reached for as long as the process lives.
std::map<std::string, OpenLibrary>& open_libraries() {
  static auto* const libraries = new std::map<std::string, OpenLibrary>;
  return *libraries;
}

const weft_descriptor& load(const LibraryFile& file) {
  const SignalsKept signals;
  void* const descriptor = dlsym(open_sealed(file), "weft_plugin");
  if (descriptor == nullptr) throw Refusal(Code::descriptor_hidden, file.path.string(), dlerror(), "", "");
  return *static_cast<const weft_descriptor*>(descriptor);
}

// A plugin may be replaced, folder and all, between the reading of its manifest and the opening of its library.
void expect_same_manifest(const Manifest& manifest) {
  Json now;
  try {
    now = read_json(manifest.file);
  } catch (const InvalidInput&) {
    // It is gone: another than it was.
  }
  if (now == manifest.stated) return;
  throw Refusal(Code::file_changed, manifest.file.string(), "was replaced since it was read",
                "the manifest that was read", "start again: the plugin has just been installed anew");
}

// `probed` says whether a child has tried the library, or has to now.
const weft_component& open(const Manifest& manifest, bool probed) {
  const std::string key = manifest.library().string();
  auto at = open_libraries().find(key);
  if (at == open_libraries().end()) {
    LibraryFile file;
    try {
      inspect(manifest, file);
    } catch (const Refusal&) {
      expect_same_manifest(manifest);  // else that is what is wrong
      throw;
    }
    if (!probed) probe_once(manifest, file);
    file.expect_unchanged();
    const weft_descriptor& descriptor = load(file);
    file.expect_unchanged();  // where there is no sealed copy, the file itself was opened
    at = open_libraries().emplace(key, OpenLibrary{&descriptor, file.fingerprint(), {manifest.file.string()}}).first;
  } else if (!at->second.manifests.contains(manifest.file.string())) {
    LibraryFile file;  // what another manifest says of itself is held against the library as well
    inspect(manifest, file);
    if (file.fingerprint() != at->second.sha256) {
      throw Refusal(Code::file_changed, key, "was replaced since it was opened", "the file that was opened",
                    "start again");
    }
    at->second.manifests.insert(manifest.file.string());
  }
  return find_component(*at->second.descriptor, manifest, key);
}

}  // namespace

const weft_component& find_component(const weft_descriptor& descriptor, const Manifest& manifest,
                                     const std::string& file) {
  const auto refuse = [&](Code code, const std::string& found, const std::string& expected,
                          const std::string& remedy = "reinstall or rebuild the plugin") {
    throw Refusal(code, file, found, expected, remedy);
  };
  if (std::memcmp(descriptor.magic, WEFT_MAGIC, sizeof(descriptor.magic)) != 0)
    refuse(Code::descriptor_damaged, "the descriptor's magic is wrong", "\"" WEFT_MAGIC "\"");
  if (descriptor.abi_major != WEFT_ABI_MAJOR) {
    refuse(Code::descriptor_abi, fmt::format("has ABI {}.{}", descriptor.abi_major, descriptor.abi_minor),
           fmt::format("major version {}", WEFT_ABI_MAJOR), "rebuild the plugin or update Weft");
  }
  if (descriptor.struct_size < offsetof(weft_descriptor, component_stride) + sizeof(std::uint64_t)) {
    refuse(Code::descriptor_damaged, fmt::format("the descriptor has {} bytes", descriptor.struct_size),
           fmt::format("at least {}", sizeof(weft_descriptor)));
  }
  const std::string torch_tag = descriptor.torch_tag != nullptr ? descriptor.torch_tag : "";
  if (manifest.is_torch() && torch_tag != WEFT_TORCH_TAG) {
    refuse(Code::other_torch, "is built for " + torch_tag, WEFT_TORCH_TAG ", which this host is",
           "rebuild the plugin with this SDK");
  }
  constexpr std::uint64_t smallest = offsetof(weft_component, find_interface) + sizeof(void*);
  if (descriptor.component_count > most_components || descriptor.component_stride < smallest ||
      descriptor.component_stride > largest_component || descriptor.components == nullptr) {
    refuse(Code::components_damaged,
           fmt::format("the component table is damaged: {} components of {} bytes", descriptor.component_count,
                       descriptor.component_stride),
           fmt::format("at most {} of {} to {} bytes", most_components, smallest, largest_component));
  }
  std::string others;
  for (std::uint64_t i = 0; i < descriptor.component_count; ++i) {
    const auto* bytes = reinterpret_cast<const char*>(descriptor.components) + i * descriptor.component_stride;
    const auto& component = *reinterpret_cast<const weft_component*>(bytes);
    if (component.kind != nullptr && component.name != nullptr)
      others += fmt::format("{}{} \"{}\"", others.empty() ? "" : ", ", component.kind, component.name);
    if (component.kind == nullptr || component.name == nullptr || component.kind != manifest.kind ||
        component.name != manifest.name)
      continue;
    if (component.size < smallest || component.create == nullptr || component.destroy == nullptr ||
        component.find_interface == nullptr) {
      refuse(Code::function_missing, fmt::format("the component {} lacks a required function", manifest.title()),
             "create, destroy and find_interface");
    }
    return component;
  }
  refuse(Code::component_absent, fmt::format("has no component \"{}\" of kind \"{}\"", manifest.name, manifest.kind),
         fmt::format("what its manifest promises; it has {}", others.empty() ? "none" : others),
         "reinstall the plugin; or, if it is yours, give component and manifest the same name");
  std::abort();  // refuse does not return
}

const weft_component& open_component(const Manifest& manifest) { return open(manifest, /*probed=*/false); }

const weft_component& load_component(const Manifest& manifest) { return open(manifest, /*probed=*/true); }

std::string library_sha256(const Manifest& manifest) {
  const std::string key = manifest.library().string();
  if (const auto at = open_libraries().find(key); at != open_libraries().end()) return at->second.sha256;
  static auto* const inspected = new std::map<std::string, std::unique_ptr<LibraryFile>>;
  std::unique_ptr<LibraryFile>& file = (*inspected)[key];
  if (file && file->is_unchanged()) return file->fingerprint();
  auto fresh = std::make_unique<LibraryFile>();
  inspect(manifest, *fresh);
  fresh->forget_bytes();
  file = std::move(fresh);
  return file->fingerprint();
}

namespace {

// What no plugin reads: descriptions, libraries, and what editors and interpreters leave.
bool is_data(const std::filesystem::path& within) {
  const std::string name = within.filename().string();
  const bool described = name == "manifest.json" || name.ends_with(".manifest.json");
  const bool library = name.ends_with(".so") || name.find(".so.") != std::string::npos;
  const bool left = std::any_of(within.begin(), within.end(), [](const std::filesystem::path& part) {
    return part.string().starts_with('.') || part == "__pycache__" || part.string().ends_with('~');
  });
  return !described && !library && !left;
}

std::string digest_of_data(const std::filesystem::path& folder) {
  using Iterator = std::filesystem::recursive_directory_iterator;
  std::map<std::string, std::uintmax_t> sizes;  // by name within the folder
  std::error_code error;
  Iterator at(folder, std::filesystem::directory_options::skip_permission_denied, error);
  for (const Iterator end; !error && at != end; at.increment(error)) {
    const std::filesystem::path within = at->path().lexically_relative(folder);
    std::error_code gone;
    if (is_data(within) && at->is_regular_file(gone)) sizes[within.string()] = at->file_size(gone);
  }
  if (sizes.empty()) return {};
  std::uintmax_t total = 0;
  for (const auto& [name, size] : sizes) total += size;
  std::string all;
  for (const auto& [name, size] : sizes) {
    const std::filesystem::path file = folder / name;
    std::error_code gone;
    const auto time = std::filesystem::last_write_time(file, gone).time_since_epoch().count();
    all += fmt::format("{} {} {}\n", name, size, total > most_hashed ? std::to_string(time) : file_sha256(file));
  }
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digest{};
  return SHA256Data(reinterpret_cast<const std::uint8_t*>(all.data()), all.size(), digest.data());
}

}  // namespace

std::string data_sha256(const Manifest& manifest) {
  static auto* const known = new std::map<std::filesystem::path, std::string>;  // of folders that plugins share
  const std::filesystem::path folder = manifest.file.parent_path();
  const auto [at, is_new] = known->try_emplace(folder);
  if (is_new) at->second = digest_of_data(folder);
  return at->second;
}

}  // namespace weft::host
