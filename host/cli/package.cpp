// `weft plugin install`, `remove` and `pack`: a plugin's folder comes to a place, and leaves it, whole or not at all.
//
// What is installed is what was checked: the copy, made in a hidden folder beside its place, where no host looks.

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/inspection.hpp"
#include "host/plugins/probe.hpp"
#include "host/plugins/refusal.hpp"
#include "host/plugins/schema.hpp"
#include "host/study/files.hpp"
#include "weft/error.hpp"

namespace weft::host {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what) {
  throw Error(fmt::format("{}: {}", path.string(), what));
}

void tar(std::vector<std::string> arguments, const fs::path& about) {
  arguments.insert(arguments.begin(), "tar");
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "TAR_OPTIONS=", 12) != 0) environment.push_back(*variable);
  }
  environment.push_back(nullptr);
  pid_t process = 0;
  int status = 0;
  const int error = posix_spawnp(&process, "tar", nullptr, nullptr, words.data(), environment.data());
  if (error != 0) fail(about, fmt::format("tar cannot be started: {}", std::strerror(error)));
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) fail(about, "tar failed; its words are above");
}

// A link within the folder becomes what it leads to; what lies outside is no part of a plugin.
void expect_within(const fs::path& folder) {
  const fs::path root = fs::canonical(folder);
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_symlink()) continue;
    std::error_code error;
    const fs::path led = fs::canonical(entry.path(), error);
    if (error) fail(entry.path(), "is a link to nothing: " + error.message());
    const fs::path here = fs::canonical(entry.path().parent_path());
    if (std::mismatch(led.begin(), led.end(), here.begin(), here.end()).first == led.end())
      fail(entry.path(), "is a link to a folder that holds it, and would be copied without end");
    if (std::mismatch(root.begin(), root.end(), led.begin(), led.end()).first == root.end()) continue;
    fail(entry.path(),
         fmt::format("is a link that leads out of the folder, to {}; put the file itself there, or remove it",
                     led.string()));
  }
}

void copy_tree(const fs::path& from, const fs::path& to) {
  expect_within(from);
  std::error_code error;
  fs::copy(from, to, fs::copy_options::recursive, error);
  if (error) fail(from, "cannot be copied: " + error.message());
}

void expect_plain(const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_symlink() && (entry.is_directory() || entry.is_regular_file())) continue;
    fail(fs::relative(entry.path(), folder),
         "a package holds files and folders alone; make it with `weft plugin pack`");
  }
}

// Readable by all, writable by the owner, and on the disk.
void settle(const fs::path& folder) {
  using fs::perms;
  const auto settle_one = [](const fs::path& path, bool executable) {
    const perms executed = executable ? perms::owner_exec | perms::group_exec | perms::others_exec : perms::none;
    fs::permissions(path, perms::owner_read | perms::owner_write | perms::group_read | perms::others_read | executed);
    sync_to_disk(path);
  };
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const bool executable = (entry.status().permissions() & perms::owner_exec) != perms::none;
    settle_one(entry.path(), entry.is_directory() || executable);
  }
  settle_one(folder, true);
}

// What is said of the copy is meant of what it was made from.
std::string of_given(std::string text, const fs::path& copy, const fs::path& given) {
  for (std::size_t at = 0; (at = text.find(copy.string(), at)) != std::string::npos; at += given.string().size())
    text.replace(at, copy.string().size(), given.string());
  return text;
}

// The plugins of a folder, by which it is called first; every one was checked as `weft plugin validate --static` does.
std::vector<Manifest> checked(const fs::path& folder, const fs::path& given) {
  std::error_code error;
  const std::vector<fs::path> files = manifests_in(folder, error);
  if (files.empty()) {
    throw InvalidInput(
        fmt::format("{}: has no manifest.json; give the folder that holds a plugin's manifest and library, such as "
                    "build/plugins/KIND/NAME",
                    given.string()));
  }
  const Json schema = read_json(Installation::locate().schemas / "plugin.json");
  std::vector<Manifest> manifests;
  for (const fs::path& file : files) {
    try {
      manifests.push_back(Manifest::read(file, schema));
      LibraryFile library;
      inspect(manifests.back(), library);
      probe(manifests.back());
    } catch (const Refusal& refusal) {
      throw Refusal(refusal.code(), of_given(refusal.what(), folder, given));
    }
  }
  return manifests;
}

// The folder in `incoming` that holds what is to be installed.
fs::path bring(const fs::path& package, const TemporaryFolder& incoming) {
  if (fs::is_directory(package)) {
    copy_tree(package, incoming.path() / "plugin");
    return incoming.path() / "plugin";
  }
  if (!fs::is_regular_file(package))
    throw InvalidInput(
        fmt::format("{}: no such folder or file, seen from {}", package.string(), fs::current_path().string()));
  tar({"--extract", "--file", fs::absolute(package).string(), "--force-local", "--directory", incoming.path().string(),
       "--no-same-owner", "--no-same-permissions"},
      package);
  expect_plain(incoming.path());
  std::vector<fs::path> unpacked;
  for (const fs::directory_entry& entry : fs::directory_iterator(incoming.path())) unpacked.push_back(entry.path());
  if (unpacked.size() != 1 || !fs::is_directory(unpacked.front()))
    fail(package, "must hold one folder; make it with `weft plugin pack`");
  return unpacked.front();
}

// Installing must neither take away what is no version of this plugin, nor hide it where no host looks.
void expect_free(const fs::path& target, const fs::path& to) {
  std::error_code error;
  if (fs::exists(target) && manifests_in(target, error).empty() && (error || !fs::is_empty(target)))
    fail(target, "is there, and is no plugin; remove it, or install elsewhere with --to");
  for (fs::path above = target.parent_path(); above != to && above.has_relative_path(); above = above.parent_path()) {
    if (!manifests_in(above, error).empty())
      fail(target, fmt::format("{} is a plugin, below which none is found; remove it first", above.string()));
  }
}

// `made` takes the place of `target`, which afterwards lies at `made`. Readers see the one or the other.
void put_in_place(const fs::path& made, const fs::path& target) {
  fs::create_directories(target.parent_path());
  const auto exchange = [&] {
    return renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0;
  };
  if (fs::exists(fs::symlink_status(target)) && !exchange()) {
    // The file system cannot exchange: for a moment there is none.
    fs::path old = made;
    old += ".old";
    fs::rename(target, old);
  }
  if (!fs::exists(fs::symlink_status(target))) fs::rename(made, target);
  sync_to_disk(target.parent_path());
}

std::string version_at(const fs::path& target) {
  try {
    return Manifest::read(target / "manifest.json", read_json(Installation::locate().schemas / "plugin.json")).version;
  } catch (const Error&) {
    return "another version";  // which could not be used
  }
}

// What the search will make of it.
void say_shadows(const std::vector<Manifest>& manifests, const fs::path& target, const fs::path& to,
                 const PluginPath& plugin_path) {
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  for (const Manifest& manifest : manifests) {
    const fs::path file = target / manifest.file.filename();
    bool found = false;
    for (const Catalogue::Entry& entry : catalogue.entries()) {
      std::error_code ignored;
      const bool is_this = fs::equivalent(entry.manifest.file, file, ignored);
      found = found || is_this;
      if (is_this && !entry.shadowed_by.empty())
        fmt::print(output(), "  it is shadowed by {}, which is found before it\n", entry.shadowed_by.string());
      if (!entry.shadowed_by.empty() && fs::equivalent(entry.shadowed_by, file, ignored))
        fmt::print(output(), "  it shadows {} {}\n", entry.manifest.file.string(), entry.manifest.version);
    }
    if (!found) fmt::print(output(), "  weft finds it with --plugin-path '{}'\n", to.string());
  }
}

// The folder of plugins that was given, or else the user's. `option` names what gives it.
fs::path place_of(const std::optional<fs::path>& given, const std::string& command, const std::string& option) {
  const std::optional<fs::path> own = Installation::user_plugins();
  if (!given && (!own || own->is_relative()))
    throw InvalidInput(fmt::format("weft plugin {}: HOME is not set; say where, with {} FOLDER", command, option));
  return fs::absolute(given ? *given : *own).lexically_normal();
}

// The folder in `place` of the plugin that is meant.
fs::path find_installed(const RemoveOptions& options, const fs::path& place) {
  std::optional<Catalogue> catalogue;
  if (fs::is_directory(place)) catalogue = Catalogue::discover({place});
  std::set<fs::path> found;
  std::set<std::string> kinds, names;
  for (const Catalogue::Entry& entry : catalogue ? catalogue->entries() : std::vector<Catalogue::Entry>()) {
    std::error_code ignored;
    if (!fs::equivalent(entry.origin, place, ignored)) continue;  // of the other folders that are searched
    names.insert(entry.manifest.name);
    if (entry.manifest.name != options.name || (!options.kind.empty() && entry.manifest.kind != options.kind)) continue;
    kinds.insert(entry.manifest.kind);
    found.insert(entry.manifest.file.parent_path());
  }
  std::string damaged;
  if (catalogue) {
    for (const Catalogue::Broken& broken : catalogue->broken()) {
      if (broken.file.string().starts_with(place.string()))
        damaged += fmt::format("; {} cannot be read: if it is meant, remove its folder", broken.file.string());
    }
  }
  const std::string what = options.kind.empty() ? options.name : options.kind + " " + options.name;
  if (found.empty())
    throw InvalidInput(
        fmt::format("{}: no {} is there; {}", place.string(), what,
                    names.empty() ? "no plugin is" : fmt::format("there are {}", fmt::join(names, ", "))) +
        damaged);
  if (kinds.size() > 1)
    throw InvalidInput(fmt::format("{}: {} is the name of plugins of several kinds; say which, with --kind {}",
                                   place.string(), options.name, fmt::join(kinds, " or --kind ")));
  if (found.size() > 1) {
    std::string folders;
    for (const fs::path& folder : found) folders += (folders.empty() ? "" : " and ") + folder.string();
    throw InvalidInput(fmt::format("{} lies in {}; remove the folder that is meant yourself", what, folders));
  }
  return *found.begin();
}

}  // namespace

int plugin_remove_command(const RemoveOptions& options) {
  const fs::path from = place_of(options.from, "remove", "--from");
  const fs::path folder = find_installed(options, from);
  std::error_code error;
  if (fs::equivalent(folder, from, error))
    fail(folder, "is the plugin's folder itself; remove it yourself, or give the folder that holds it");
  const fs::path within = fs::canonical(from), real = fs::canonical(folder);
  if (std::mismatch(within.begin(), within.end(), real.begin(), real.end()).first != within.end())
    fail(folder, fmt::format("is reached by a link, and lies in {}: nothing that was installed; remove the link",
                             real.string()));
  const std::vector<fs::path> files = manifests_in(folder, error);
  const TemporaryFolder outgoing(from, ".outgoing-");  // no host looks there
  fs::rename(folder, outgoing.path() / "plugin");
  fs::remove_all(outgoing.path() / "plugin");
  fmt::print(output(), "{}: removed{}\n", folder.string(),
             files.size() > 1 ? fmt::format(", with its {} plugins", files.size()) : "");
  return done;
}

int plugin_install_command(const InstallOptions& options, const PluginPath& plugin_path) {
  const fs::path to = place_of(options.to, "install", "--to");
  const TemporaryFolder incoming(to, ".incoming-");
  const fs::path made = bring(options.package, incoming);
  settle(made);
  const std::vector<Manifest> manifests = checked(made, options.package);
  const Manifest& first = manifests.front();
  const fs::path target = to / first.kind / first.name;
  expect_free(target, to);
  const std::string replaced = fs::exists(target) ? fmt::format(", in place of {}", version_at(target)) : "";
  put_in_place(made, target);
  for (const Manifest& manifest : manifests)
    fmt::print(output(), "{} {} is installed in {}{}\n", manifest.title(), manifest.version, target.string(),
               &manifest == &first ? replaced : "");
  say_shadows(manifests, target, to, plugin_path);
  return done;
}

int plugin_pack_command(const PackOptions& options) {
  if (!fs::is_directory(options.folder))
    throw InvalidInput(
        fmt::format("{}: no such folder, seen from {}", options.folder.string(), fs::current_path().string()));
  const TemporaryFolder incoming(fs::temp_directory_path(), ".incoming-");
  const fs::path made = incoming.path() / "plugin";
  copy_tree(options.folder, made);
  settle(made);
  const Manifest first = checked(made, options.folder).front();
  std::string name = fmt::format("{}-{}", first.name, first.version);
  std::replace(name.begin(), name.end(), '/', '-');
  fs::rename(made, incoming.path() / name);
  const fs::path package = options.output.value_or(name + ".tar.gz");
  fs::path part = package;
  part += ".part";
  // The same folder gives the same bytes.
  tar({"--create", "--file", fs::absolute(part).string(), "--force-local", "--directory", incoming.path().string(),
       "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0",
       "--use-compress-program=gzip -n", name},
      package);
  sync_to_disk(part);
  fs::rename(part, package);
  fmt::print(output(), "{}: {} {}; install it with: weft plugin install {}\n", package.string(), first.title(),
             first.version, package.string());
  return done;
}

}  // namespace weft::host
