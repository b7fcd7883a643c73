// Measures a candidate by the weights of a supernet that was trained before: any optimizer may search over it.
//
// Pham et al. 2018 (ENAS) and Bender et al. 2018 rank candidates so; what it says of a network trained by itself is
// another question (Sciuto et al. 2019).

#include <filesystem>
#include <memory>
#include <string>

#include "weft/plugin.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/judge.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/text.hpp"
#include "weft/torch/training_trial.hpp"

namespace {

class SharedWeights final : public weft::Evaluator {
 public:
  explicit SharedWeights(const weft::Context& context)
      : space_(context.space()),
        supernet_(space_.supernet()),
        device_(weft::claim_device()),
        judge_(context, device_),
        folder_(context.study().value("oneshot", weft::Json::object()).value("folder", "")) {}

  weft::Evaluation evaluate(const weft::EvaluationRequest& request, const weft::Reporter&) override {
    const weft::Score score = judge_.score(network(), space_.path(request.genotype));
    return {.metrics = {{"validation_accuracy", score.accuracy},
                        {"validation_loss", score.loss},
                        {"validation_perplexity", weft::perplexity(score.loss)}}};
  }

 private:
  weft::Network& network() {
    if (network_) return *network_;
    const std::filesystem::path file = folder_ / "supernet.pt";
    if (folder_.empty()) throw weft::Error("the one-shot search has not ended, so there are no shared weights");
    if (!std::filesystem::exists(file)) {
      throw weft::Error(file.string() +
                        " does not exist: the supernet's weights are gone; put them back, or run the search anew");
    }
    auto network = std::make_unique<weft::Network>(supernet_, weft::Rng(0));
    weft::load_weights(*network, file);
    network->to(device_);
    network_ = std::move(network);
    return *network_;
  }

  weft::SpaceRef space_;
  weft::Architecture supernet_;
  c10::Device device_;
  weft::Judge judge_;
  std::filesystem::path folder_;
  std::unique_ptr<weft::Network> network_;
};

}  // namespace

WEFT_PLUGIN(weft::component<SharedWeights>("shared_weights"))
