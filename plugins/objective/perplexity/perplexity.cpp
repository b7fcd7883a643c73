// The perplexity of a language model, to be minimised: e to the mean negative log-likelihood of the validation tokens.

#include "weft/plugin.hpp"

namespace {

class Perplexity final : public weft::Objective {
 public:
  explicit Perplexity(const weft::Context& context) : metric_(context.get<std::string>("metric")) {}

  weft::Direction direction() const override { return weft::Direction::minimize; }
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

WEFT_PLUGIN(weft::component<Perplexity>("perplexity"))
