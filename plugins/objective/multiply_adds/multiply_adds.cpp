// Multiply-adds of convolutions and linear layers for one example, biases not counted: what papers print as "FLOPs".
// Known from the graph; conventions of weft/operation.hpp.

#include "weft/plugin.hpp"

namespace {

class MultiplyAdds final : public weft::Objective {
 public:
  explicit MultiplyAdds(const weft::Context&) {}

  weft::Direction direction() const override { return weft::Direction::minimize; }
  std::optional<double> before(const weft::Candidate& candidate) const override {
    return static_cast<double>(candidate.architecture.cost().multiply_adds);
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<MultiplyAdds>("multiply_adds"))
