#include "weft/torch/judge.hpp"

#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "weft/torch/splits.hpp"
#include "weft/torch/training.hpp"

namespace weft {
namespace {

Normalisation normalisation_of(const Dataset& data) { return {data.mean(), data.standard_deviation()}; }

const Split& not_empty(const Split& split) {
  if (split.size() == 0)
    throw InvalidInput(
        "the data set has no validation examples, by which architectures are judged; give it some (its argument "
        "validation)");
  return split;
}

}  // namespace

Split validation_examples(const Context& context) {
  const Split& all = dataset(context).validation();
  const auto count = context.get<std::int64_t>("validation_examples");
  return count > 0 ? first_examples(all, std::min(count, all.size())) : all;
}

Judge::Judge(const Context& context, const Split& validation, c10::Device device)
    : batch_size_(context.get<std::int64_t>("batch_size")),
      calibration_batches_(context.get<std::int64_t>("calibration_batches")),
      calibration_(dataset(context).train(), normalisation_of(dataset(context)), device),
      validation_(not_empty(validation), normalisation_of(dataset(context)), device) {}

Judge::Judge(const Context& context, c10::Device device) : Judge(context, validation_examples(context), device) {}

Score Judge::score(Network& network, const SupernetPath& path) const {
  network.eval();
  network.choose(gates_of(path));
  network.set_statistics(calibration_batches_ > 0 ? Statistics::measured : Statistics::batch);
  for (std::int64_t i = 0; i < calibration_batches_; ++i) {
    const c10::InferenceMode inference;
    const std::int64_t first = i * batch_size_, left = calibration_.examples() - first;
    if (left < 2) break;
    network.forward(calibration_.plain(first, std::min(left, batch_size_)).images);
  }
  if (calibration_batches_ > 0) network.set_statistics(Statistics::running);
  const Score score = evaluate(network, validation_, batch_size_);
  network.set_statistics(Statistics::running);
  return score;
}

}  // namespace weft
