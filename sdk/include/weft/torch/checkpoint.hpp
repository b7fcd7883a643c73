// What an interrupted training goes on from: its tensors by name, what was noted beside them, and whose they are.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>

#include "weft/architecture.hpp"
#include "weft/json.hpp"
#include "weft/torch/network.hpp"

namespace weft {

struct Checkpoint {
  NamedTensors tensors;                // on the CPU
  Json notes;                          // of a training: its curve so far
  std::optional<std::string> network;  // identity_of its architecture; none in those of Weft 1.0
};

// Of what each number of a checkpoint means: the operations in their order, what they are and what they read. Not of
// names and groups, which another version may choose otherwise.
std::string identity_of(const Architecture& architecture);

// The file appears whole or not at all. Throws Error.
void write_checkpoint(const std::filesystem::path& file, const NamedTensors& tensors, const Json& notes,
                      const std::string& network);

// Nothing if there is none, or if it is damaged, as a power failure may leave it: the training begins anew, with a
// warning. Throws Error if it cannot be read just now: it would be overwritten.
std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& file);

// Copies what the checkpoint in `file` holds into `tensors`, which share memory with what is trained. False, with a
// warning, where another version named them otherwise. Throws Error if it is another network's, or not of these names
// and extents.
bool restore(const std::filesystem::path& file, const Checkpoint& checkpoint, const NamedTensors& tensors,
             const std::string& network);

}  // namespace weft
