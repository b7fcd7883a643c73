// A metric of the evaluation, to be minimised: unless said otherwise a language model's perplexity, e to the mean
// negative log-likelihood of the validation tokens.

#include "weft/plugin.hpp"

namespace {

class Perplexity final : public weft::Objective {
 public:
  explicit Perplexity(const weft::Context& context) : metric_(context.get<std::string>("metric")) {}

  weft::Direction direction() const override { return weft::Direction::minimize; }
  double after(const weft::Json& metrics) const override {
    const auto found = metrics.find(metric_);
    if (found == metrics.end() || !found->is_number()) {
      throw weft::Error("the evaluation has no number \"" + metric_ + "\"; its metrics are " + metrics.dump() +
                        ". Name one of them with /metric; one to be maximised is for the objective accuracy");
    }
    return *found;
  }

 private:
  std::string metric_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Perplexity>("perplexity"))
