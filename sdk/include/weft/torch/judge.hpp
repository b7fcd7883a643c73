// What shared weights say of one architecture of a supernet: its part of the network, measured as a network of its own.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

#include "weft/context.hpp"
#include "weft/torch/batches.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"
#include "weft/torch/text.hpp"

namespace weft {

class Judge {
 public:
  // Of the context's arguments it reads
  //   batch_size            examples at a time while statistics are measured; of a text, streams
  //   calibration_batches   of training examples, of which batch norms measure statistics before an architecture is
  //                         judged; 0: they normalise by the batch at hand
  // and judges on `validation`. Throws InvalidInput where that is empty.
  Judge(const Context& context, const Split& validation, c10::Device device);
  // The same of a data set of text, but that batch norms always normalise by the batch at hand, by the streams that are
  // read side by side: where a recurrence has them, fixed statistics let states grow from position to position.
  Judge(const Context& context, const at::Tensor& validation, c10::Device device);
  // On as many examples of the data set's validation split, or tokens, as validation_examples says; 0: all.
  Judge(const Context& context, c10::Device device);

  // The network is left in evaluation mode, with the architecture chosen; its recurrent nodes carry nothing.
  Score score(Network& network, const SupernetPath& path) const;

 private:
  void calibrate(Network& network) const;

  std::int64_t batch_size_, calibration_batches_;
  std::optional<Batches> calibration_, validation_;  // of images
  std::optional<TextBatches> text_;                  // of either one, to validate on
};

// The first validation_examples of the data set's validation split; 0: all.
Split validation_examples(const Context& context);
// The same of a data set of text.
at::Tensor validation_tokens(const Context& context);
// In how many streams such a text is read: as many as a batch has, if each has two sequences; but two.
std::int64_t validation_streams(const at::Tensor& tokens, std::int64_t positions, std::int64_t batch_size);

}  // namespace weft
