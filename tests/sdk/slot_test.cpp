#include "weft/slot.hpp"

#include <cstdlib>

#include "tests/catch.hpp"

TEST_CASE("a worker's slot is what the environment says, or one thread of the CPU") {
  unsetenv("WEFT_DEVICE");
  setenv("WEFT_THREADS", "", 1);
  CHECK(weft::own_slot().device == "cpu");
  CHECK(weft::own_slot().threads == 1);
  setenv("WEFT_DEVICE", "cuda:1", 1);
  setenv("WEFT_THREADS", "12", 1);
  CHECK(weft::own_slot().device == "cuda:1");
  CHECK(weft::own_slot().threads == 12);
  for (const char* wrong : {"two", "0", "-1", "2x", "1.5", " 2", "4097", "99999999999"}) {
    setenv("WEFT_THREADS", wrong, 1);
    CHECK_THROWS_WITH(weft::own_slot(), ContainsSubstring("WEFT_THREADS is \"" + std::string(wrong) +
                                                          "\"; must be a number of threads, 1 to 4096"));
  }
  unsetenv("WEFT_DEVICE");
  unsetenv("WEFT_THREADS");
}
