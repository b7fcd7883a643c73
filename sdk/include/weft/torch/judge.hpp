// What shared weights say of one architecture of a supernet: its part of the network, measured as a network of its own.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "weft/context.hpp"
#include "weft/torch/batches.hpp"
#include "weft/torch/dataset.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"

namespace weft {

class Judge {
 public:
  // Of the context's arguments it reads
  //   batch_size            examples at a time while statistics are measured
  //   calibration_batches   of training examples, of which batch norms measure statistics before an architecture is
  //                         judged; 0: they normalise by the batch at hand
  // and judges on `validation`. Throws InvalidInput where that is empty.
  Judge(const Context& context, const Split& validation, c10::Device device);
  // On as many examples of the data set's validation split as validation_examples says; 0: all.
  Judge(const Context& context, c10::Device device);

  // The network is left in evaluation mode, with the architecture chosen.
  Score score(Network& network, const SupernetPath& path) const;

 private:
  std::int64_t batch_size_, calibration_batches_;
  Batches calibration_, validation_;
};

// The first validation_examples of the data set's validation split; 0: all.
Split validation_examples(const Context& context);

}  // namespace weft
