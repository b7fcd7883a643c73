// Steps at milestones.

#include "weft/plugin.hpp"

namespace {

class Steps final : public weft::Schedule {
 public:
  explicit Steps(const weft::Context& context) : milestones_(context.get<std::vector<int>>("milestones")) {
    const weft::Json gamma = context.configuration().at("gamma");
    factors_ = gamma.is_array() ? gamma.get<std::vector<double>>()
                                : std::vector<double>(milestones_.size(), gamma.get<double>());
    if (factors_.size() != milestones_.size())
      throw weft::InvalidInput("/gamma is " + gamma.dump() + "; must be one number, or one for each of the " +
                               std::to_string(milestones_.size()) + " milestones");
  }

  double rate(double lr, const weft::Moment& at) const override {
    for (std::size_t i = 0; i < milestones_.size(); ++i) {
      if (at.elapsed >= milestones_[i]) lr *= factors_[i];
    }
    return lr;
  }

 private:
  std::vector<int> milestones_;
  std::vector<double> factors_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Steps>("step"))
