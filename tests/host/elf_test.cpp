// What the ELF reader makes of real and of damaged files; inspection notices a file that changes under it.

#include "host/plugins/elf.hpp"

#include <elf.h>

#include <cstring>
#include <random>

#include "host/plugins/inspection.hpp"
#include "host/plugins/refusal.hpp"
#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"

using namespace weft::host;
using weft::testing::read_file;
using weft::testing::TemporaryFolder;
using weft::testing::write_file;
namespace fs = std::filesystem;

namespace {

const std::string sound = read_file(fs::path(WEFT_TEST_BINARY) / "tests/broken/none.so");

}  // namespace

TEST_CASE("the reader finds stamp, descriptor and needed libraries") {
  const Elf elf = read_elf(sound);
  CHECK(elf.is_elf);
  CHECK(elf.is_shared_library);
  CHECK(elf.machine == own_machine());
  CHECK(elf.exports_descriptor);
  REQUIRE(elf.stamps.size() == 1);
  CHECK(elf.stamps[0] == "weft abi=1.0 build=test torch=");
  CHECK(std::find(elf.needed.begin(), elf.needed.end(), "libc.so.6") != elf.needed.end());
  CHECK(elf.others.empty());
  CHECK_FALSE(read_elf(read_file(fs::path(WEFT_TEST_BINARY) / "tests/broken/hidden_descriptor.so")).exports_descriptor);
  CHECK_FALSE(read_elf(read_file(fs::path(WEFT_TEST_BINARY) / "tests/broken/exports_more.so")).others.empty());
  CHECK_FALSE(read_elf("#!/bin/sh\n").is_elf);
  CHECK_FALSE(read_elf("").is_elf);
}

TEST_CASE("at whatever byte a file ends, and whatever byte is wrong, the reader ends with a verdict") {
  const auto survives = [](const std::string& bytes) {
    try {
      read_elf(bytes);
    } catch (const DamagedElf&) {
    }
  };
  for (std::size_t size = 0; size < sound.size(); size += size < 512 ? 1 : 97) {
    const std::string truncated = sound.substr(0, size);
    if (size > 64) CHECK_THROWS_AS(read_elf(truncated), DamagedElf);
    survives(truncated);
  }
  std::mt19937 random(1);
  Elf64_Ehdr header;
  std::memcpy(&header, sound.data(), sizeof(header));
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = sound;
    // Where the reader looks: the header, the segment table, the section table, anywhere.
    const std::size_t starts[] = {0, header.e_phoff, header.e_shoff, random() % sound.size()};
    const std::size_t at = starts[i % 4] + random() % 512;
    if (at < damaged.size()) damaged[at] = static_cast<char>(random());
    survives(damaged);
  }
}

TEST_CASE("a library that is swapped or written to between check and opening is refused") {
  const TemporaryFolder folder;
  const fs::path path = write_file(folder / "p.so", sound);
  LibraryFile file;
  file.open(path);
  file.read();
  file.expect_unchanged();
  const auto refused = [&] {
    try {
      file.expect_unchanged();
    } catch (const Refusal& refusal) {
      return refusal.code() == Code::file_changed;
    }
    return false;
  };
  SECTION("another file takes its place") {
    write_file(folder / "q.so", sound);
    fs::rename(folder / "q.so", path);
    CHECK(refused());
  }
  SECTION("it is written to") {
    std::ofstream(path, std::ios::app) << "x";
    CHECK(refused());
  }
  SECTION("it is removed") {
    fs::remove(path);
    CHECK(refused());
  }
  SECTION("a link takes its place") {
    fs::rename(path, folder / "q.so");
    fs::create_symlink(folder / "q.so", path);
    CHECK(refused());
  }
}
