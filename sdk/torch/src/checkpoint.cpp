#include "weft/torch/checkpoint.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "memory.hpp"
#include "weft/atomic_file.hpp"
#include "weft/torch/fingerprint.hpp"

namespace weft {

std::string identity_of(const Architecture& architecture) {
  std::vector<std::string> nodes;
  for (const Node& node : architecture.nodes())
    nodes.push_back(node.operation + node.attributes.dump() + Json(node.inputs).dump());
  nodes.push_back(std::to_string(architecture.output()));
  if (architecture.auxiliary()) nodes.push_back(std::to_string(*architecture.auxiliary()));
  return fingerprint(nodes, {});
}

// (tensors by name, notes as JSON, identity of the network). Weft 1.0 wrote the first two, and reads them here.
void write_checkpoint(const std::filesystem::path& file, const NamedTensors& tensors, const Json& notes,
                      const std::string& network) {
  c10::Dict<std::string, at::Tensor> copies;
  for (const auto& [name, tensor] : tensors) copies.insert(name, tensor.cpu());
  const std::vector<char> bytes = torch::jit::pickle_save(c10::ivalue::Tuple::create({copies, notes.dump(), network}));
  write_atomically(file, {bytes.data(), bytes.size()});
}

std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& file) {
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream && errno == ENOENT) return {};
  if (!stream) throw Error(file.string() + ": the checkpoint cannot be read: " + std::strerror(errno));
  std::vector<char> bytes;
  try {
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  } catch (const std::ios_base::failure& failure) {
    throw Error(file.string() + ": the checkpoint cannot be read: " + failure.what());
  }
  try {
    const auto content = torch::jit::pickle_load(bytes).toTupleRef().elements().vec();
    Checkpoint checkpoint;
    for (const auto& entry : content.at(0).toGenericDict())
      checkpoint.tensors[entry.key().toStringRef()] = entry.value().toTensor();
    checkpoint.notes = Json::parse(content.at(1).toStringRef());
    if (content.size() > 2) checkpoint.network = content[2].toStringRef();
    return checkpoint;
  } catch (const std::exception& damage) {
    if (!memory_shortage(damage).empty()) throw;
    const std::string reason = damage.what();
    TORCH_WARN(file.string(), ": damaged checkpoint (", reason.substr(0, reason.find('\n')),
               "); the training begins anew");
    return {};
  }
}

bool restore(const std::filesystem::path& file, const Checkpoint& checkpoint, const NamedTensors& tensors,
             const std::string& network) {
  if (checkpoint.network.value_or(network) != network) {
    throw Error(file.string() +
                ": a checkpoint of another network (its operations, their attributes or what they read differ); remove "
                "the file to train from the start");
  }
  for (const auto& [name, tensor] : tensors) {
    const auto at = checkpoint.tensors.find(name);
    if (at == checkpoint.tensors.end() && checkpoint.network && name.starts_with("buffer/")) {
      TORCH_WARN(file.string(), ": of another version of Weft, which named the network's nodes otherwise (", name,
                 " is not in it); the training begins anew");
      return false;
    }
    if (at == checkpoint.tensors.end() || at->second.sizes() != tensor.sizes()) {
      throw Error(file.string() + ": a checkpoint of another network or update rule (" + name +
                  " differs); remove the file to train from the start");
    }
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) tensor.copy_(checkpoint.tensors.at(name));
  return true;
}

}  // namespace weft
