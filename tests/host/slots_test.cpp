#include "host/pipelines/slots.hpp"

#include <cstdlib>

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/error.hpp"

using namespace weft::host;
using weft::testing::TemporaryFolder;
using weft::testing::write_file;

namespace {

// What CUDA_VISIBLE_DEVICES says while it lives.
class Visible {
 public:
  explicit Visible(const char* cards) { cards == nullptr ? unsetenv(name) : setenv(name, cards, 1); }
  ~Visible() { before_ ? setenv(name, before_->c_str(), 1) : unsetenv(name); }
  Visible(const Visible&) = delete;
  Visible& operator=(const Visible&) = delete;

 private:
  static constexpr const char* name = "CUDA_VISIBLE_DEVICES";
  std::optional<std::string> before_ =
      std::getenv(name) == nullptr ? std::nullopt : std::optional<std::string>(std::getenv(name));
};

std::string refusal(const std::vector<std::string>& slots, const Machine& machine) {
  Pipeline pipeline;
  pipeline.slots = slots;
  try {
    check_slots(pipeline, machine);
  } catch (const weft::InvalidInput& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("slots that the machine does not have are refused by name, with what there is") {
  const Visible all(nullptr);
  const Machine none{2, std::vector<std::string>{}}, two{4, std::vector<std::string>{"0", "1"}}, unknown{2, {}};
  CHECK(refusal({"cpu:2", "cpu:1"}, none).empty());
  CHECK_THAT(
      refusal({"cpu:1", "cpu:5000"}, none),
      ContainsSubstring("/executor/slots/1 is \"cpu:5000\"; this machine has 2 cores, so that \"cpu:2\" is the most"));
  CHECK_THAT(refusal({"cpu:99999999999999999999"}, none), ContainsSubstring("this machine has 2 cores"));
  CHECK_THAT(refusal({"cuda:0"}, none),
             ContainsSubstring("/executor/slots/0 is \"cuda:0\"; this machine has no card; use \"cpu:<threads>\""));
  CHECK(refusal({"cuda:0", "cuda:1", "cuda:1"}, two).empty());
  CHECK_THAT(refusal({"cuda:2"}, two), ContainsSubstring("has 2 cards, \"cuda:0\" to \"cuda:1\""));
  CHECK(refusal({"cuda:7"}, unknown).empty());  // the worker will find out
}

TEST_CASE("cards are counted as CUDA counts them") {
  const TemporaryFolder devices;
  const auto cards = [&](const char* visible) {
    const Visible only(visible);
    return Machine::look(devices.path()).cards;
  };
  using Names = std::vector<std::string>;
  CHECK(cards(nullptr) == Names{});
  CHECK(cards("0") == Names{});
  for (const char* device : {"nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"})
    write_file(devices / device, "");
  CHECK(cards(nullptr) == Names{"0", "1", "2"});
  CHECK(cards("2,1") == Names{"2", "1"});
  CHECK(cards("") == Names{});
  CHECK(cards("1,-1,0") == Names{"1"});
  CHECK(cards("0,3,1") == Names{"0"});
  CHECK(cards("GPU-1f2e,MIG-77") == Names{"GPU-1f2e", "MIG-77"});
  {
    const Visible only("2,1");
    const Machine machine = Machine::look(devices.path());
    CHECK(machine.card("0") == "2");
    CHECK_THAT(refusal({"cuda:2"}, machine),
               ContainsSubstring("has 2 cards that CUDA_VISIBLE_DEVICES, \"2,1\", leaves visible"));
  }
  const TemporaryFolder other;
  write_file(other / "dxg", "");
  const Visible all(nullptr);
  CHECK_FALSE(Machine::look(other.path()).cards.has_value());
}
