#include "host/plugins/inspection.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sha2.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "host/plugins/catalogue.hpp"
#include "host/plugins/refusal.hpp"
#include "weft/abi.h"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

constexpr off_t largest_library = off_t{2} << 30;
constexpr std::string_view torch_libraries[] = {"libtorch", "libc10", "libweft_torch"};

bool is_torch(const std::string& library) {
  return std::any_of(std::begin(torch_libraries), std::end(torch_libraries),
                     [&](std::string_view prefix) { return library.rfind(prefix, 0) == 0; });
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// ---- the path ---------------------------------------------------------------------------------------------------

fs::path folder_of(const Manifest& manifest) { return fs::canonical(manifest.file.parent_path()); }

bool is_within(const fs::path& folder, const fs::path& file) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
}

void check_path(const Manifest& manifest, LibraryFile& file) {
  const fs::path given = manifest.json.at("library").get<std::string>();
  const auto refuse = [&](const std::string& found) {
    throw Refusal(Code::path_not_inside, manifest.file.string(), fmt::format("/library {}", found),
                  "a path inside the manifest's own folder, without \"..\"", "put the library beside its manifest");
  };
  if (given.is_absolute()) refuse(fmt::format("is the absolute path \"{}\"", given.string()));
  if (std::find(given.begin(), given.end(), "..") != given.end()) refuse(fmt::format("is \"{}\"", given.string()));
  std::error_code error;
  const fs::path resolved = fs::canonical(manifest.library(), error);
  if (error) {
    throw Refusal(Code::library_absent, manifest.library().string(), error.message(),
                  "the library that the manifest names", "build the plugin, or remove its manifest");
  }
  if (!is_within(folder_of(manifest), resolved))
    refuse(fmt::format("\"{}\" leads to {}", given.string(), resolved.string()));
  file.companions.clear();
  file.found_from_here.clear();
  file.open(resolved);
}

// ---- who could have written it ------------------------------------------------------------------------------------

void check_owner(const fs::path& path) {
  struct stat state {};
  if (stat(path.c_str(), &state) != 0)
    throw Refusal(Code::library_absent, path.string(), std::strerror(errno), "", "mend the folder's permissions");
  if (state.st_uid != 0 && state.st_uid != geteuid()) {
    throw Refusal(Code::foreign_owner, path.string(), fmt::format("belongs to user {}", state.st_uid),
                  fmt::format("root or user {}, who runs this", geteuid()),
                  fmt::format("if you trust it: chown {} '{}'", geteuid(), path.string()));
  }
  // Whoever is in a group today, others may be in it tomorrow.
  const bool by_group = (state.st_mode & S_IWGRP) != 0;
  const bool by_others = (state.st_mode & S_IWOTH) != 0;
  if (by_group || by_others) {
    throw Refusal(Code::writable_by_others, path.string(), fmt::format("has mode {:04o}", state.st_mode & 07777),
                  "that nobody but its owner can write to it",
                  fmt::format("chmod {}{}-w '{}'", by_group ? "g" : "", by_others ? "o" : "", path.string()));
  }
}

// Of a library inside the plugin's folder, and of all folders between them.
void check_owners_within(const fs::path& top, const fs::path& library) {
  check_owner(library);
  for (fs::path folder = library.parent_path();; folder = folder.parent_path()) {
    check_owner(folder);
    if (folder == top) return;
  }
}

void check_owners(const Manifest& manifest, LibraryFile& file) {
  check_owner(manifest.file);
  check_owners_within(folder_of(manifest), file.path);
}

// ---- what it is ---------------------------------------------------------------------------------------------------

void check_hash(const Manifest& manifest, LibraryFile& file) {
  file.read();
  const std::string stated = manifest.json.value("sha256", file.sha256);
  if (stated != file.sha256) {
    throw Refusal(Code::hash_differs, file.path.string(), "SHA-256 " + file.sha256, stated + ", as its manifest says",
                  "the file is damaged, or was changed after it was built (stripped?): reinstall or rebuild it");
  }
}

void check_machine(const Manifest&, LibraryFile& file) {
  try {
    file.elf = read_elf(file.bytes);
  } catch (const DamagedElf& damaged) {
    throw Refusal(Code::damaged_elf, file.path.string(), damaged.what(), "a whole ELF file",
                  "the file is damaged: reinstall or rebuild the plugin");
  }
  const auto refuse = [&](Code code, const std::string& found, const std::string& expected) {
    throw Refusal(code, file.path.string(), found, expected, "rebuild the plugin for this machine");
  };
  if (!file.elf.is_elf) refuse(Code::not_elf, "is no ELF file", "a shared library");
  if (!file.elf.is_64_bit_little)
    refuse(Code::wrong_machine, "is not a 64-bit little-endian file", machine_name(own_machine()));
  if (file.elf.machine != own_machine())
    refuse(Code::wrong_machine, "is built for " + machine_name(file.elf.machine), machine_name(own_machine()));
  if (!file.elf.is_shared_library) refuse(Code::not_elf, "is an ELF file of another type", "a shared library");
}

// "weft abi=1.0 build=gcc12/libstdc++-abi1 torch=": the value of a field, up to the next blank.
std::string field(const std::string& stamp, const std::string& name) {
  const std::size_t at = stamp.find(" " + name + "=");
  if (at == std::string::npos) return {};
  const std::size_t from = at + name.size() + 2;
  return stamp.substr(from, stamp.find(' ', from) - from);
}

// Whether a library built for version `built` does for a manifest that states `stated`: the same major version, and a
// minor one that is no less.
bool serves(const std::string& built, const std::string& stated) {
  const std::size_t dot = stated.find('.');
  if (built.substr(0, built.find('.')) != stated.substr(0, dot) || built.find('.') != dot) return false;
  const auto minor = [&](const std::string& version) { return std::strtoul(version.c_str() + dot + 1, nullptr, 10); };
  return minor(built) >= minor(stated);
}

void check_stamp(const Manifest& manifest, LibraryFile& file) {
  const auto at = std::find_if(file.elf.stamps.begin(), file.elf.stamps.end(),
                               [](const std::string& stamp) { return stamp.rfind("weft ", 0) == 0; });
  if (at == file.elf.stamps.end()) {
    throw Refusal(Code::no_stamp, file.path.string(), "has no Weft stamp (section .weft.stamp)", "one",
                  "is it a Weft plugin? Its source must end with WEFT_PLUGIN(...), in C WEFT_PLUGIN_C(...)");
  }
  file.stamp = *at;
  const auto refuse = [&](const std::string& found, const std::string& expected) {
    throw Refusal(
        Code::stamp_differs, file.path.string(), fmt::format("{} in the stamp \"{}\"", found, file.stamp), expected,
        "library and manifest are of different builds: reinstall the plugin; or, if it is yours, state in both "
        "what it was written for (\"abi\" in the manifest; in C, WEFT_PLUGIN_ABI before weft/abi.h)");
  };
  const std::string abi = manifest.json.at("abi");
  if (!serves(field(file.stamp, "abi"), abi))
    refuse("abi=" + field(file.stamp, "abi"), fmt::format("{}, as its manifest says", abi));
  const std::string torch = field(file.stamp, "torch");
  if (!manifest.is_torch() && !torch.empty()) refuse("torch=" + torch, "none: its manifest says tier stable");
  if (manifest.is_torch() && torch.empty()) refuse("no torch tag", "one: its manifest says tier torch");
}

void check_torch_tag(const Manifest& manifest, LibraryFile& file) {
  const std::string tag = field(file.stamp, "torch");
  if (manifest.is_torch() && tag != WEFT_TORCH_TAG) {
    throw Refusal(Code::other_torch, file.path.string(), "is built for " + tag, WEFT_TORCH_TAG ", which this host is",
                  "rebuild the plugin with this SDK");
  }
}

void check_exports(const Manifest&, LibraryFile& file) {
  if (!file.elf.exports_descriptor) {
    throw Refusal(
        Code::descriptor_hidden, file.path.string(), "exports no data symbol \"weft_plugin\"", "one",
        "end the source with WEFT_PLUGIN(...), in C WEFT_PLUGIN_C(...), and export it (weft_add_plugin does)");
  }
}

// The LibTorch libraries of this installation, by SONAME: those that libweft_torch itself needs.
std::vector<std::string> installed_torch() {
  std::vector<std::string> names = {"libweft_torch.so.1"};
  for (std::string& name : read_elf(read_file(Installation::locate().libraries / names[0])).needed) {
    if (is_torch(name)) names.push_back(std::move(name));
  }
  return names;
}

void check_needed_torch(const Manifest& manifest, const LibraryFile& file) {
  if (!manifest.is_torch()) {
    for (const std::string& library : file.elf.needed) {
      if (!is_torch(library)) continue;
      throw Refusal(Code::torch_in_stable_tier, file.path.string(), "needs " + library,
                    "no LibTorch: its manifest says tier stable", "link no LibTorch, or declare tier torch");
    }
    return;
  }
  const std::vector<std::string> installed = installed_torch();
  for (const std::string& library : file.elf.needed) {
    if (!is_torch(library) || std::find(installed.begin(), installed.end(), library) != installed.end()) continue;
    throw Refusal(Code::other_torch, file.path.string(), "needs " + library,
                  fmt::format("one of {}", fmt::join(installed, ", ")), "rebuild the plugin with this SDK");
  }
}

void check_torch(const Manifest& manifest, LibraryFile& file) {
  check_torch_tag(manifest, file);
  check_needed_torch(manifest, file);
}

// ---- what comes along ---------------------------------------------------------------------------------------------

constexpr std::size_t most_companions = 64;

// Where `library` looks for what it needs from its own place: $ORIGIN, which the loader cannot know of a library that
// is opened from memory. Nothing where the loader will find it by itself, or nobody will.
std::optional<fs::path> found_from(const LibraryFile& library, const std::string& needed) {
  std::istringstream folders(library.elf.search_path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::error_code ignored;
    for (const std::string_view origin : {"$ORIGIN", "${ORIGIN}"}) {
      if (!folder.starts_with(origin)) continue;
      const fs::path file = library.path.parent_path().string() + folder.substr(origin.size()) + "/" + needed;
      if (fs::exists(file, ignored)) return fs::canonical(file, ignored);
    }
    if (folder.starts_with('/') && fs::exists(fs::path(folder) / needed, ignored)) return {};
  }
  return {};
}

void collect_companions(const Manifest& manifest, const LibraryFile& library, LibraryFile& plugin,
                        std::set<std::pair<std::string, fs::path>>& seen) {
  for (const std::string& needed : library.elf.needed) {
    const std::optional<fs::path> path = found_from(library, needed);
    if (!path || !seen.emplace(needed, *path).second) continue;
    const fs::path top = folder_of(manifest);
    if (!is_within(top, *path)) {
      plugin.found_from_here.push_back(*path);
      continue;
    }
    auto companion = std::make_unique<LibraryFile>();
    companion->open(*path);
    check_owners_within(top, *path);
    companion->read();
    check_machine(manifest, *companion);
    if (companion->elf.soname != needed) {
      throw Refusal(Code::cannot_open, companion->path.string(),
                    fmt::format("has the SONAME \"{}\"", companion->elf.soname),
                    fmt::format("\"{}\", as {} names it", needed, library.path.filename().string()),
                    "link it with -Wl,-soname, as CMake does for a SHARED library");
    }
    if (seen.size() > most_companions) {
      throw Refusal(Code::cannot_open, plugin.path.string(), "needs libraries without end",
                    fmt::format("at most {} of its own", most_companions), "");
    }
    collect_companions(manifest, *companion, plugin, seen);
    check_needed_torch(manifest, *companion);
    plugin.companions.push_back(std::move(companion));
  }
}

void check_companions(const Manifest& manifest, LibraryFile& file) {
  std::set<std::pair<std::string, fs::path>> seen;  // name and place
  collect_companions(manifest, file, file, seen);
}

constexpr std::array<Check, 8> all_checks = {
    {{5, "the library lies inside the manifest's folder", check_path},
     {5, "nobody else can write to it", check_owners},
     {5, "its SHA-256 is the manifest's", check_hash},
     {5, "it is a shared library for this machine", check_machine},
     {2, "its stamp says what the manifest says", check_stamp},
     {3, "it exports the descriptor", check_exports},
     {5, "it needs the LibTorch of its tier", check_torch},
     {5, "the libraries beside it that it needs are as sound", check_companions}}};

}  // namespace

LibraryFile::~LibraryFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void LibraryFile::open(const fs::path& resolved) {
  path = resolved;
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0 || fstat(descriptor_, &state_) != 0 || !S_ISREG(state_.st_mode)) {
    throw Refusal(Code::library_absent, path.string(), descriptor_ < 0 ? std::strerror(errno) : "is no regular file",
                  "a file that can be read", "mend its permissions, or rebuild the plugin");
  }
}

void LibraryFile::read() {
  if (state_.st_size > largest_library) {
    throw Refusal(Code::damaged_elf, path.string(), fmt::format("has {} bytes", state_.st_size),
                  fmt::format("at most {}", largest_library), "reinstall or rebuild the plugin");
  }
  bytes.resize(static_cast<std::size_t>(state_.st_size));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = pread(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw Refusal(Code::file_changed, path.string(), "cannot be read whole", "", "try again");
    done += static_cast<std::size_t>(count);
  }
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digest{};
  sha256 = SHA256Data(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), digest.data());
}

void LibraryFile::forget_bytes() {
  bytes = {};
  for (const auto& companion : companions) companion->forget_bytes();
}

bool LibraryFile::is_unchanged() const {
  const auto same = [&](const struct stat& now) {
    return now.st_dev == state_.st_dev && now.st_ino == state_.st_ino && now.st_size == state_.st_size &&
           now.st_mtim.tv_sec == state_.st_mtim.tv_sec && now.st_mtim.tv_nsec == state_.st_mtim.tv_nsec &&
           now.st_ctim.tv_sec == state_.st_ctim.tv_sec && now.st_ctim.tv_nsec == state_.st_ctim.tv_nsec;
  };
  struct stat at_path {};
  struct stat held {};
  return lstat(path.c_str(), &at_path) == 0 && fstat(descriptor_, &held) == 0 && same(at_path) && same(held) &&
         std::all_of(companions.begin(), companions.end(), [](const auto& each) { return each->is_unchanged(); });
}

void LibraryFile::expect_unchanged() const {
  if (is_unchanged()) return;
  throw Refusal(Code::file_changed, path.string(), "was changed while it was being checked",
                "the file that was checked", "let the installation finish, and try again");
}

std::string LibraryFile::fingerprint() const {
  if (companions.empty()) return sha256;
  std::string hashes = sha256;
  for (const auto& companion : companions) hashes += companion->sha256;
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digest{};
  return SHA256Data(reinterpret_cast<const std::uint8_t*>(hashes.data()), hashes.size(), digest.data());
}

std::span<const Check> checks() { return all_checks; }

void inspect(const Manifest& manifest, LibraryFile& file) {
  for (const Check& check : checks()) check.run(manifest, file);
}

}  // namespace weft::host
