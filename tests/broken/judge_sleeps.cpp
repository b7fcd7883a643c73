// A stopper that takes its time.
#include <chrono>
#include <thread>

#include "weft/plugin.hpp"

namespace {

class Sleeps final : public weft::Stopper {
 public:
  explicit Sleeps(const weft::Context&) {}
  weft::Judgement judge(const weft::LearningCurve&) override {
    std::this_thread::sleep_for(std::chrono::seconds(120));
    return {};
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<Sleeps>("broken"))
