// Weights on disk. The format is PyTorch's own: a pickled dictionary of tensors.
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/import_read.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "weft/atomic_file.hpp"
#include "weft/torch/network.hpp"

namespace weft {

void save_weights(const Network& network, const std::filesystem::path& path) {
  c10::Dict<std::string, at::Tensor> entries;
  for (const auto& [name, tensor] : network.state()) entries.insert(name, tensor.cpu());
  const std::vector<char> bytes = torch::jit::pickle_save(entries);
  write_atomically(path, {bytes.data(), bytes.size()});
}

std::map<std::string, at::Tensor> read_weights(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(path.string() + ": the weights cannot be read: " + std::strerror(errno));
  file.close();

  std::map<std::string, at::Tensor> found;
  try {
    // As torch::jit::pickle_load does it, but tensor by tensor: the file is never in memory whole, beside them.
    caffe2::serialize::PyTorchStreamReader reader(path.string());
    const c10::IValue content = torch::jit::readArchiveAndTensors("data", "", "", {}, {}, {}, reader);
    for (const auto& entry : content.toGenericDict()) {
      found.emplace(entry.key().toStringRef(), entry.value().toTensor());
    }
  } catch (const std::exception& error) {
    const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
    throw Error(path.string() + ": not a dictionary of tensors as torch.save writes it: " +
                (torch_error ? torch_error->what_without_backtrace() : error.what()));
  }
  return found;
}

void load_weights(Network& network, const std::filesystem::path& path) {
  const auto found = read_weights(path);
  const auto wanted = network.state();
  std::string wrong;
  const auto extents = [](const at::Tensor& tensor) { return Json(tensor.sizes().vec()).dump(); };
  for (const auto& [name, tensor] : wanted) {
    const auto entry = found.find(name);
    if (entry == found.end()) {
      wrong += "; " + name + " is missing";
    } else if (entry->second.sizes() != tensor.sizes()) {
      wrong += "; " + name + " is " + extents(entry->second) + ", not " + extents(tensor);
    }
  }
  for (const auto& [name, tensor] : found) {
    if (!wanted.contains(name)) wrong += "; " + name + " is unexpected";
  }
  if (!wrong.empty()) {
    // Learned groups that have condensed have an index instead of a mask.
    const bool condensed = std::any_of(found.begin(), found.end(), [&](const auto& entry) {
      const std::string& name = entry.first;
      return name.ends_with(".index") && wanted.contains(name.substr(0, name.size() - 5) + "mask");
    });
    throw Error(path.string() + ": the weights are of another network" + wrong +
                (condensed ? "; they are of a condensed one: call condense() before" : ""));
  }

  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : wanted) tensor.copy_(found.at(name));
}

}  // namespace weft
