// A metric of the evaluation, to be maximised: the validation accuracy unless said otherwise.

#include "weft/plugin.hpp"

namespace {

class Accuracy final : public weft::Objective {
 public:
  explicit Accuracy(const weft::Context& context) : metric_(context.get<std::string>("metric")) {}

  weft::Direction direction() const override { return weft::Direction::maximize; }
  double after(const weft::Json& metrics) const override {
    const auto found = metrics.find(metric_);
    if (found == metrics.end() || !found->is_number()) {
      throw weft::Error("the evaluation has no number \"" + metric_ + "\"; its metrics are " + metrics.dump());
    }
    return *found;
  }

 private:
  std::string metric_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Accuracy>("accuracy"))
