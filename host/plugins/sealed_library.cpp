#include "host/plugins/sealed_library.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>

#include "host/plugins/refusal.hpp"

#ifndef MFD_EXEC  // Linux 6.3
#define MFD_EXEC 0x0010U
#endif

namespace weft::host {
namespace {

namespace fs = std::filesystem;

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool can_be_executed(int descriptor) {
  void* const page = mmap(nullptr, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, descriptor, 0);
  if (page == MAP_FAILED) return false;
  munmap(page, 1);
  return true;
}

// -1 where the system does not let memory be executed (vm.memfd_noexec), or has none left.
int sealed_copy(const LibraryFile& file) {
  const std::string name = file.path.filename().string().substr(0, 200);  // of at most 249 bytes
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int descriptor = memfd_create(name.c_str(), flags | MFD_EXEC);
  if (descriptor < 0 && errno == EINVAL) descriptor = memfd_create(name.c_str(), flags);
  if (descriptor < 0) return -1;
  const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (write_all(descriptor, file.bytes) && fcntl(descriptor, F_ADD_SEALS, seals) == 0 && can_be_executed(descriptor))
    return descriptor;
  close(descriptor);
  return -1;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

[[noreturn]] void refuse(const fs::path& file, const std::string& found) {
  throw Refusal(Code::cannot_open, file.string(), found, "",
                "rebuild the plugin with -z defs to find what it lacks, or install the library it needs");
}

// The descriptor stays open for ever: the loader knows libraries by their names, and would take another library of the
// same number for this one.
void* open_descriptor(const LibraryFile& file) {
  int descriptor = sealed_copy(file);
  if (descriptor < 0) descriptor = fcntl(file.descriptor(), F_DUPFD_CLOEXEC, 3);
  if (descriptor < 0) refuse(file.path, std::strerror(errno));
  const std::string name = fmt::format("/proc/self/fd/{}", descriptor);
  void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const std::string words = dlerror();
    close(descriptor);
    refuse(file.path, replaced(words, name, file.path.string()));
  }
  // Debuggers, backtraces and dladdr() look for the file, from which the plugin may look for others.
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0) map->l_name = strdup(file.path.c_str());
  return handle;
}

// A needed library is found by its SONAME among those that are open, whoever opened it.
void open_companion(const LibraryFile& companion) {
  struct Opened {
    std::string sha256;
    fs::path path;
  };
  static auto* const opened = new std::map<std::string, Opened>;  // by SONAME
  const auto [at, fresh] = opened->try_emplace(companion.elf.soname, Opened{companion.sha256, companion.path});
  if (fresh) {
    try {
      open_descriptor(companion);
    } catch (...) {
      opened->erase(at);
      throw;
    }
  } else if (at->second.sha256 != companion.sha256) {
    throw Refusal(Code::cannot_open, companion.path.string(),
                  fmt::format("has the SONAME \"{}\" of another library that is open already, {}", companion.elf.soname,
                              at->second.path.string()),
                  "a name of its own, or the same bytes",
                  "name it after its plugin: -Wl,-soname,lib<plugin>_<name>.so");
  }
}

}  // namespace

void* open_sealed(const LibraryFile& file) {
  for (const fs::path& library : file.found_from_here) {
    if (dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) refuse(file.path, dlerror());
  }
  for (const auto& companion : file.companions) open_companion(*companion);
  return open_descriptor(file);
}

}  // namespace weft::host
