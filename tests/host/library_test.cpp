// The checks on a plugin's descriptor, each with a descriptor that breaks it; and what becomes of a library that is
// open when its file changes.

#include "host/plugins/library.hpp"

#include <dlfcn.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "host/plugins/inspection.hpp"
#include "host/plugins/probe.hpp"
#include "host/plugins/refusal.hpp"
#include "host/plugins/schema.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/error.hpp"
#include "weft/testing/library.hpp"

using namespace weft::host;
using weft::Json;
using weft::testing::Instance;
using weft::testing::read_file;
using weft::testing::TemporaryFolder;
using weft::testing::write_file;
namespace fs = std::filesystem;

namespace {

constexpr weft_component component{
    .size = sizeof(weft_component),
    .kind = "optimizer",
    .name = "mine",
    .create = [](const weft_context*, void**, const weft_writer*) -> weft_status { return WEFT_OK; },
    .destroy = [](void*) {},
    .find_interface = [](const char*) -> const void* { return nullptr; }};

// Everything is right about it; each test breaks one thing.
struct Broken {
  weft_component components[1] = {component};
  weft_descriptor descriptor{WEFT_MAGIC, sizeof(weft_descriptor), WEFT_ABI_MAJOR, WEFT_ABI_MINOR, "gcc", "", components,
                             1,          sizeof(weft_component)};
  Manifest manifest;

  Broken() {
    manifest.kind = "optimizer";
    manifest.name = "mine";
    manifest.tier = "stable";
  }
  const weft_component& find() const { return find_component(descriptor, manifest, "mine.so"); }
};

// A plugin's folder with libraries of tests/broken, the first of which is the plugin.
class Folder {
 public:
  explicit Folder(const std::vector<std::string>& libraries) {
    umask(022);
    for (const std::string& library : libraries)
      fs::copy_file(fs::path(WEFT_TEST_BINARY) / "tests/broken" / library, folder_ / library);
    const Json json = {{"manifest", 1},
                       {"name", "broken"},
                       {"kind", "optimizer"},
                       {"tier", "stable"},
                       {"version", "1.0.0"},
                       {"abi", "1.0"},
                       {"library", libraries[0]},
                       {"summary", "A test."},
                       {"requires", Json::array()},
                       {"provides", Json::array()},
                       {"parameters", {{"type", "object"}}},
                       {"license", "Apache-2.0"}};
    manifest = Manifest::read(write_file(folder_ / "manifest.json", json.dump()),
                              read_json(fs::path(WEFT_TEST_SOURCE) / "manifests/schemas/plugin.json"));
  }
  fs::path operator/(const std::string& name) const { return folder_ / name; }

  // In place: the same file has other bytes, of the same number.
  void write_over(const std::string& name) const {
    std::fstream(folder_ / name, std::ios::in | std::ios::out | std::ios::binary)
        << std::string(fs::file_size(folder_ / name), '\0');
  }

  Manifest manifest;

 private:
  TemporaryFolder folder_;
};

void create(const weft_component& component) {
  weft::testing::Surroundings surroundings;
  surroundings.collaborators["space"] = {&component, nullptr};
  const Instance instance(component, Json::object(), std::move(surroundings));
}

std::string refused(const Manifest& manifest) {
  try {
    load_component(manifest);
  } catch (const Refusal& refusal) {
    return refusal.what();
  }
  return "";
}

// Where the system forbids to execute memory, the file itself is opened (docs/plugin-contract.md, rule 5).
bool can_be_sealed() {
  if (!read_file("/proc/sys/vm/memfd_noexec").starts_with('2')) return true;
  WARN("SKIPPED: vm.memfd_noexec forbids it");
  return false;
}

const std::vector<std::string> with_companions = {"needs_companions.so", "libtest_outer.so", "libtest_inner.so"};

}  // namespace

TEST_CASE("a library that is open does not notice what becomes of its file") {
  if (!can_be_sealed()) return;
  const Folder folder({"none.so"});
  const weft_component& component = load_component(folder.manifest);
  folder.write_over("none.so");
  create(component);
  CHECK(&load_component(folder.manifest) == &component);
  fs::remove(folder / "none.so");
  create(component);
}

TEST_CASE("code of a library that is open is found under its file's name") {
  const Folder folder({"none.so"});
  Dl_info place{};
  REQUIRE(dladdr(reinterpret_cast<void*>(load_component(folder.manifest).create), &place) != 0);
  CHECK(place.dli_fname == fs::canonical(folder / "none.so").string());
}

TEST_CASE("two libraries of the same bytes in two folders are two") {
  const Folder one({"none.so"});
  const Folder other({"none.so"});
  CHECK(&load_component(one.manifest) != &load_component(other.manifest));
}

TEST_CASE("the loader's words name the library's file") {
  const Folder folder({"undefined_symbol.so"});
  CHECK_THAT(refused(folder.manifest), ContainsSubstring("nobody_defines_this") &&
                                           ContainsSubstring((folder / "undefined_symbol.so").string()) &&
                                           !ContainsSubstring("/proc/self/fd"));
}

TEST_CASE("libraries that a plugin brings along are checked and opened as it is") {
  const Folder folder(with_companions);
  SECTION("and do not notice either what becomes of their files") {
    if (!can_be_sealed()) return;
    const weft_component& component = load_component(folder.manifest);
    for (const std::string& library : with_companions) folder.write_over(library);
    create(component);
  }
  SECTION("who can write to them") {
    fs::permissions(folder / "libtest_inner.so", fs::perms::group_write, fs::perm_options::add);
    CHECK_THAT(refused(folder.manifest), ContainsSubstring("E023") && ContainsSubstring("libtest_inner.so"));
  }
  SECTION("what they are") {
    fs::resize_file(folder / "libtest_outer.so", 100);
    CHECK_THAT(refused(folder.manifest), ContainsSubstring("E031") && ContainsSubstring("libtest_outer.so"));
  }
  SECTION("whether they have the name by which they are looked for") {
    fs::copy_file(folder / "libtest_inner.so", folder / "libtest_outer.so", fs::copy_options::overwrite_existing);
    CHECK_THAT(refused(folder.manifest), ContainsSubstring("E040") &&
                                             ContainsSubstring("SONAME \"libtest_inner.so\"") &&
                                             ContainsSubstring("\"libtest_outer.so\", as needs_companions.so"));
  }
  SECTION("whether another plugin has opened another library of that name") {
    load_component(folder.manifest);
    const Folder other(with_companions);
    std::ofstream(other / "libtest_inner.so", std::ios::app) << "another build";
    CHECK_THAT(refused(other.manifest),
               ContainsSubstring("E040") && ContainsSubstring("libtest_inner.so") && ContainsSubstring("SONAME"));
  }
}

TEST_CASE("every manifest of a library that is open is held against it") {
  const Folder folder({"none.so"});
  load_component(folder.manifest);
  Json other = folder.manifest.json;
  other["sha256"] = std::string(64, '0');
  const Manifest lying = Manifest::read(write_file(folder / "other.json", other.dump()),
                                        read_json(fs::path(WEFT_TEST_SOURCE) / "manifests/schemas/plugin.json"));
  for (int asked = 0; asked < 2; ++asked) CHECK_THAT(refused(lying), ContainsSubstring("as its manifest says"));
  CHECK(refused(folder.manifest).empty());
}

TEST_CASE("a manifest that went while its library was tried is no verdict on the library") {
  const Folder folder({"none.so"});
  write_file(folder.manifest.file, "");
  try {
    probe(folder.manifest);
    FAIL("an empty manifest passed");
  } catch (const Refusal& refusal) {
    CHECK(refusal.code() == Code::probe_stopped);
    CHECK_THAT(refusal.what(), ContainsSubstring("cannot be read any more"));
  }
}

TEST_CASE("what a library's initialisers write to the host's channel is no verdict") {
  const Folder folder({"init_speaks.so"});
  CHECK_THROWS_WITH(probe(folder.manifest), ContainsSubstring("wrote to its channel what is no verdict"));
}

TEST_CASE("a library's hash is that of what is open, or else of its file") {
  const auto file_hash = [](const Folder& folder, const std::string& library) {
    LibraryFile file;
    file.open(fs::canonical(folder / library));
    file.read();
    return file.sha256;
  };
  const Folder folder({"none.so"});
  const std::string hash = file_hash(folder, "none.so");
  CHECK(library_sha256(folder.manifest) == hash);
  std::ofstream(folder / "none.so", std::ios::app) << "x";
  const std::string changed = file_hash(folder, "none.so");
  CHECK(changed != hash);
  CHECK(library_sha256(folder.manifest) == changed);
  load_component(folder.manifest);
  folder.write_over("none.so");
  CHECK(library_sha256(folder.manifest) == changed);

  const Folder together(with_companions);
  const std::string all = library_sha256(together.manifest);
  std::ofstream(together / "libtest_inner.so", std::ios::app) << "x";
  CHECK(library_sha256(together.manifest) != all);
}

TEST_CASE("a sound descriptor gives its component") {
  const Broken sound;
  CHECK(&sound.find() == sound.components);
}

TEST_CASE("a minor version newer than the host's is no obstacle, an unknown tail neither") {
  Broken newer;
  newer.descriptor.abi_minor = 99;
  newer.descriptor.struct_size += 64;
  CHECK(&newer.find() == newer.components);
}

TEST_CASE("a component table with a larger stride is walked by that stride") {
  struct Larger {
    weft_component known;
    void* appended;
  };
  const Larger larger[2] = {{component, nullptr}, {component, nullptr}};
  Broken descriptor;
  const_cast<weft_component&>(larger[0].known).name = "another";
  descriptor.descriptor.components = &larger[0].known;
  descriptor.descriptor.component_count = 2;
  descriptor.descriptor.component_stride = sizeof(Larger);
  CHECK(&descriptor.find() == &larger[1].known);
}

TEST_CASE("a descriptor that breaks a rule is refused with what was found") {
  Broken broken;
  SECTION("magic") {
    broken.descriptor.magic[0] = 'X';
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("mine.so") && ContainsSubstring("magic"));
  }
  SECTION("major version") {
    broken.descriptor.abi_major = 2;
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("ABI 2.") && ContainsSubstring("rebuild"));
  }
  SECTION("shorter than any") {
    broken.descriptor.struct_size = 16;
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("16 bytes"));
  }
  SECTION("absurd count") {
    broken.descriptor.component_count = 1ULL << 60;
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("component table is damaged"));
  }
  SECTION("absurd stride") {
    broken.descriptor.component_stride = 8;
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("component table is damaged"));
  }
  SECTION("null table") {
    broken.descriptor.components = nullptr;
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("component table is damaged"));
  }
  SECTION("required function absent") {
    broken.components[0].create = nullptr;
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("lacks a required function"));
  }
  SECTION("component shorter than its required functions") {
    broken.components[0].size = 24;
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("lacks a required function"));
  }
  SECTION("not what the manifest promises") {
    broken.manifest.name = "yours";
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("\"yours\"") && ContainsSubstring("manifest promises"));
  }
  SECTION("another LibTorch") {
    broken.manifest.tier = "torch";
    broken.descriptor.torch_tag = "weft-1.0.0/libtorch-0.9";
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("libtorch-0.9") && ContainsSubstring(WEFT_TORCH_TAG));
  }
}
