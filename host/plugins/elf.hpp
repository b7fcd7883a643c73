// What a plugin's file says of itself, read without running any of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weft::host {

// A field points outside the file, or the file ends too early.
class DamagedElf : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Elf {
  bool is_elf = false;              // the magic is there; nothing else is set where it is not
  bool is_64_bit_little = false;    // the only layout that is read; nothing below is set where it is not
  bool is_shared_library = false;   // ET_DYN
  std::uint16_t machine = 0;        // EM_*
  std::vector<std::string> stamps;  // of section .weft.stamp, one per terminated text
  std::vector<std::string> needed;  // DT_NEEDED, in order
  std::string soname;               // DT_SONAME, or empty
  std::string search_path;          // DT_RUNPATH, or else DT_RPATH: folders between colons
  bool exports_descriptor = false;  // a defined, visible data symbol `weft_plugin`
  std::vector<std::string> others;  // what else it exports, but for the linker's own marks
};

// Every offset and count is checked against the file. Throws DamagedElf.
Elf read_elf(std::string_view file);

// The machine of the program that runs.
std::uint16_t own_machine();
// "x86-64", "AArch64", or the number.
std::string machine_name(std::uint16_t machine);

}  // namespace weft::host
