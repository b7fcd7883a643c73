#include "host/plugins/elf.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <fstream>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft::host {
namespace {

// No plugin has more; a larger count is damage, and reading it would take for ever.
constexpr std::uint64_t most_entries = 1U << 20;

class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  std::string_view bytes(std::uint64_t offset, std::uint64_t size, const char* what) const {
    if (offset > file_.size() || size > file_.size() - offset) {
      throw DamagedElf(fmt::format("{} reaches to byte {}+{} of a file of {}", what, offset, size, file_.size()));
    }
    return file_.substr(offset, size);
  }

  // Copies: records of a damaged file need not be aligned.
  template <typename Record>
  Record record(std::uint64_t offset, const char* what) const {
    static_assert(std::is_trivially_copyable_v<Record>);
    Record record;
    std::memcpy(&record, bytes(offset, sizeof(Record), what).data(), sizeof(Record));
    return record;
  }

  template <typename Record>
  std::vector<Record> table(std::uint64_t offset, std::uint64_t count, std::uint64_t stride, const char* what) const {
    if (count == 0) return {};
    if (count > most_entries) throw DamagedElf(fmt::format("{} has {} entries", what, count));
    if (stride != sizeof(Record))
      throw DamagedElf(fmt::format("{} has entries of {} bytes instead of {}", what, stride, sizeof(Record)));
    const std::string_view all = bytes(offset, count * stride, what);
    std::vector<Record> records(count);
    std::memcpy(records.data(), all.data(), all.size());
    return records;
  }

 private:
  std::string_view file_;
};

std::string terminated(std::string_view strings, std::uint64_t offset, const char* what) {
  if (offset >= strings.size()) throw DamagedElf(fmt::format("{} lies outside its string table", what));
  const std::size_t end = strings.find('\0', offset);
  if (end == std::string_view::npos) throw DamagedElf(fmt::format("{} is not terminated", what));
  return std::string(strings.substr(offset, end - offset));
}

std::vector<std::string> split_terminated(std::string_view texts) {
  std::vector<std::string> split;
  for (std::size_t at = 0; at < texts.size();) {
    const std::size_t end = std::min(texts.find('\0', at), texts.size());
    if (end > at) split.emplace_back(texts.substr(at, end - at));
    at = end + 1;
  }
  return split;
}

// Where in the file the loader finds what it will map to `address`.
std::uint64_t offset_of(const std::vector<Elf64_Phdr>& segments, std::uint64_t address, const char* what) {
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz)
      return segment.p_offset + (address - segment.p_vaddr);
  }
  throw DamagedElf(fmt::format("{} lies at an address that no segment holds", what));
}

// What the loader itself will read: through the dynamic segment, not the sections.
void read_dynamic(const Reader& reader, const std::vector<Elf64_Phdr>& segments, Elf& elf) {
  std::vector<std::uint64_t> needed;
  std::optional<std::uint64_t> strings, soname, rpath, runpath;
  std::uint64_t strings_size = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_DYNAMIC) continue;
    const auto entries = reader.table<Elf64_Dyn>(segment.p_offset, segment.p_filesz / sizeof(Elf64_Dyn),
                                                 sizeof(Elf64_Dyn), "the dynamic segment");
    for (const Elf64_Dyn& entry : entries) {
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_NEEDED) needed.push_back(entry.d_un.d_val);
      if (entry.d_tag == DT_SONAME) soname = entry.d_un.d_val;
      if (entry.d_tag == DT_RPATH) rpath = entry.d_un.d_val;
      if (entry.d_tag == DT_RUNPATH) runpath = entry.d_un.d_val;
      if (entry.d_tag == DT_STRTAB) strings = entry.d_un.d_ptr;
      if (entry.d_tag == DT_STRSZ) strings_size = entry.d_un.d_val;
    }
  }
  if (!runpath) runpath = rpath;
  if (needed.empty() && !soname && !runpath) return;
  if (!strings) throw DamagedElf("the dynamic segment has no string table");
  const std::string_view table =
      reader.bytes(offset_of(segments, *strings, "the string table"), strings_size, "the string table");
  elf.needed.reserve(needed.size());
  for (const std::uint64_t name : needed) elf.needed.push_back(terminated(table, name, "the name of a needed library"));
  if (soname) elf.soname = terminated(table, *soname, "the library's own name");
  if (runpath) elf.search_path = terminated(table, *runpath, "the search path");
}

// Symbols that linkers export where nobody tells them not to.
bool is_linkers(const std::string& name) {
  for (const char* mark : {"_init", "_fini", "__bss_start", "_edata", "_end"}) {
    if (name == mark) return true;
  }
  return false;
}

void read_exports(const Reader& reader, const std::vector<Elf64_Shdr>& sections, const Elf64_Shdr& symbols, Elf& elf) {
  if (symbols.sh_link >= sections.size()) throw DamagedElf("the dynamic symbols name no string table");
  const Elf64_Shdr& link = sections[symbols.sh_link];
  const std::string_view names = reader.bytes(link.sh_offset, link.sh_size, "the names of the dynamic symbols");
  const auto table = reader.table<Elf64_Sym>(symbols.sh_offset, symbols.sh_size / sizeof(Elf64_Sym), sizeof(Elf64_Sym),
                                             "the dynamic symbols");
  for (const Elf64_Sym& symbol : table) {
    const bool visible =
        ELF64_ST_VISIBILITY(symbol.st_other) == STV_DEFAULT || ELF64_ST_VISIBILITY(symbol.st_other) == STV_PROTECTED;
    if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL || !visible) continue;
    std::string name = terminated(names, symbol.st_name, "a symbol's name");
    if (name == "weft_plugin" && ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT) {
      elf.exports_descriptor = true;
    } else if (!is_linkers(name)) {
      elf.others.push_back(std::move(name));
    }
  }
}

}  // namespace

Elf read_elf(std::string_view file) {
  const Reader reader(file);
  Elf elf;
  elf.is_elf = file.substr(0, SELFMAG) == ELFMAG;
  if (!elf.is_elf) return elf;
  const std::string_view ident = reader.bytes(0, EI_NIDENT, "the identification");
  elf.is_64_bit_little = ident[EI_CLASS] == ELFCLASS64 && ident[EI_DATA] == ELFDATA2LSB;
  if (!elf.is_64_bit_little) return elf;

  const auto header = reader.record<Elf64_Ehdr>(0, "the header");
  elf.machine = header.e_machine;
  elf.is_shared_library = header.e_type == ET_DYN;
  const auto segments =
      reader.table<Elf64_Phdr>(header.e_phoff, header.e_phnum, header.e_phentsize, "the segment table");
  for (const Elf64_Phdr& segment : segments) reader.bytes(segment.p_offset, segment.p_filesz, "a segment");
  read_dynamic(reader, segments, elf);

  const auto sections =
      reader.table<Elf64_Shdr>(header.e_shoff, header.e_shnum, header.e_shentsize, "the section table");
  if (sections.empty()) return elf;
  if (header.e_shstrndx >= sections.size()) throw DamagedElf("the section names lie in a section that does not exist");
  const Elf64_Shdr& strings = sections[header.e_shstrndx];
  const std::string_view names = reader.bytes(strings.sh_offset, strings.sh_size, "the section names");
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS) continue;
    if (section.sh_type == SHT_DYNSYM) read_exports(reader, sections, section, elf);
    if (terminated(names, section.sh_name, "a section's name") == ".weft.stamp")
      elf.stamps = split_terminated(reader.bytes(section.sh_offset, section.sh_size, "the stamp"));
  }
  return elf;
}

std::uint16_t own_machine() {
  std::array<char, sizeof(Elf64_Ehdr)> bytes{};
  std::ifstream("/proc/self/exe", std::ios::binary).read(bytes.data(), bytes.size());
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header.e_machine;
}

std::string machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "AArch64";
    case EM_386:
      return "i386";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "PowerPC64";
    default:
      return fmt::format("machine {}", machine);
  }
}

}  // namespace weft::host
