// Trainable scalars incl. biases and batch-norm affine terms, without running statistics and without the auxiliary
// classifier. Known from the graph; conventions of weft/operation.hpp.

#include "weft/plugin.hpp"

namespace {

class Parameters final : public weft::Objective {
 public:
  explicit Parameters(const weft::Context&) {}

  weft::Direction direction() const override { return weft::Direction::minimize; }
  std::optional<double> before(const weft::Candidate& candidate) const override {
    return static_cast<double>(candidate.architecture.cost().parameters);
  }
};

}  // namespace

WEFT_PLUGIN(weft::component<Parameters>("parameters"))
