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

#include "host/plugins/catalogue.hpp"
#include "host/plugins/refusal.hpp"
#include "weft/abi.h"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

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
  const fs::path folder = fs::canonical(manifest.file.parent_path());
  if (std::mismatch(folder.begin(), folder.end(), resolved.begin(), resolved.end()).first != folder.end())
    refuse(fmt::format("\"{}\" leads to {}", given.string(), resolved.string()));
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
  // A group of one's own is no group of others.
  const bool by_group = (state.st_mode & S_IWGRP) != 0 && state.st_gid != 0 && state.st_gid != getegid();
  if ((state.st_mode & S_IWOTH) != 0 || by_group) {
    throw Refusal(Code::writable_by_others, path.string(), fmt::format("has mode {:04o}", state.st_mode & 07777),
                  "that nobody but its owner can write to it", fmt::format("chmod go-w '{}'", path.string()));
  }
}

void check_owners(const Manifest& manifest, LibraryFile& file) {
  check_owner(file.path);
  check_owner(manifest.file);
  const fs::path top = fs::canonical(manifest.file.parent_path());
  for (fs::path folder = file.path.parent_path();; folder = folder.parent_path()) {
    check_owner(folder);
    if (folder == top) return;
  }
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
    throw Refusal(Code::stamp_differs, file.path.string(), fmt::format("{} in the stamp \"{}\"", found, file.stamp),
                  expected, "library and manifest are of different builds: reinstall or rebuild the plugin");
  };
  const std::string abi = manifest.json.at("abi");
  if (!serves(field(file.stamp, "abi"), abi))
    refuse("abi=" + field(file.stamp, "abi"), fmt::format("{}, as its manifest says", abi));
  const std::string torch = field(file.stamp, "torch");
  if (!manifest.is_torch() && !torch.empty()) refuse("torch=" + torch, "none: its manifest says tier stable");
  if (manifest.is_torch() && torch.empty()) refuse("no torch tag", "one: its manifest says tier torch");
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

void check_torch(const Manifest& manifest, LibraryFile& file) {
  if (!manifest.is_torch()) {
    for (const std::string& library : file.elf.needed) {
      if (!is_torch(library)) continue;
      throw Refusal(Code::torch_in_stable_tier, file.path.string(), "needs " + library,
                    "no LibTorch: its manifest says tier stable", "link no LibTorch, or declare tier torch");
    }
    return;
  }
  const std::string tag = field(file.stamp, "torch");
  if (tag != WEFT_TORCH_TAG) {
    throw Refusal(Code::other_torch, file.path.string(), "is built for " + tag, WEFT_TORCH_TAG ", which this host is",
                  "rebuild the plugin with this SDK");
  }
  const std::vector<std::string> installed = installed_torch();
  for (const std::string& library : file.elf.needed) {
    if (!is_torch(library) || std::find(installed.begin(), installed.end(), library) != installed.end()) continue;
    throw Refusal(Code::other_torch, file.path.string(), "needs " + library,
                  fmt::format("one of {}", fmt::join(installed, ", ")), "rebuild the plugin with this SDK");
  }
}

constexpr std::array<Check, 7> all_checks = {{{5, "the library lies inside the manifest's folder", check_path},
                                              {5, "nobody else can write to it", check_owners},
                                              {5, "its SHA-256 is the manifest's", check_hash},
                                              {5, "it is a shared library for this machine", check_machine},
                                              {2, "its stamp says what the manifest says", check_stamp},
                                              {3, "it exports the descriptor", check_exports},
                                              {5, "it needs the LibTorch of its tier", check_torch}}};

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

void LibraryFile::expect_unchanged() const {
  const auto same = [&](const struct stat& now) {
    return now.st_dev == state_.st_dev && now.st_ino == state_.st_ino && now.st_size == state_.st_size &&
           now.st_mtim.tv_sec == state_.st_mtim.tv_sec && now.st_mtim.tv_nsec == state_.st_mtim.tv_nsec &&
           now.st_ctim.tv_sec == state_.st_ctim.tv_sec && now.st_ctim.tv_nsec == state_.st_ctim.tv_nsec;
  };
  struct stat at_path {};
  struct stat held {};
  if (lstat(path.c_str(), &at_path) != 0 || fstat(descriptor_, &held) != 0 || !same(at_path) || !same(held)) {
    throw Refusal(Code::file_changed, path.string(), "was changed while it was being checked",
                  "the file that was checked", "let the installation finish, and try again");
  }
}

std::span<const Check> checks() { return all_checks; }

void inspect(const Manifest& manifest, LibraryFile& file) {
  for (const Check& check : checks()) check.run(manifest, file);
}

}  // namespace weft::host
