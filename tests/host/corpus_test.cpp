// Everything the fuzzers ever found interesting, once more: `./dev fuzz` looks for more of it.

#include <filesystem>
#include <functional>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "tests/fuzz/targets.hpp"

TEST_CASE("readers end with a value or a clear error on the whole corpus") {
  const std::pair<const char*, std::function<void(std::string_view)>> targets[] = {
      {"manifest", weft::fuzz::manifest},     {"pipeline", weft::fuzz::pipeline}, {"setting", weft::fuzz::setting},
      {"parameters", weft::fuzz::parameters}, {"elf", weft::fuzz::elf},           {"journal", weft::fuzz::journal},
      {"messages", weft::fuzz::messages}};
  for (const auto& [name, read] : targets) {
    std::size_t files = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(WEFT_TEST_SOURCE) / "tests/fuzz/corpus" / name)) {
      INFO(entry.path().string());
      CHECK_NOTHROW(read(weft::testing::read_file(entry.path())));
      ++files;
    }
    CHECK(files > 0);
  }
}
