// The checks on a plugin's descriptor, each with a descriptor that breaks it.

#include "host/plugins/library.hpp"

#include "tests/catch.hpp"
#include "weft/error.hpp"

using namespace weft::host;

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

}  // namespace

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
    CHECK_THROWS_WITH(broken.find(), ContainsSubstring("ABI 2.0") && ContainsSubstring("rebuild"));
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
