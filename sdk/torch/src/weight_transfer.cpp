#include "weft/torch/weight_transfer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace weft {
namespace {

using Extents = WeightTransfer::Extents;

std::string to_text(at::IntArrayRef extents) { return Json(extents.vec()).dump(); }

// One step: from the tensors before it to one of those after it.
class Execution {
 public:
  // `rng` is null for moments, of this order.
  Execution(const NamedTensors& before, std::string place, Rng* rng, int order)
      : before_(before), place_(std::move(place)), rng_(rng), order_(order) {}

  at::Tensor operator()(const WeightTransfer::Gather& rule) const {
    at::Tensor tensor = source(rule.from);
    for (const WeightTransfer::Map& map : rule.maps) tensor = gather(tensor, map, rule.from);
    return tensor;
  }

  at::Tensor operator()(const WeightTransfer::Pad& rule) const {
    const at::Tensor& tensor = source(rule.from);
    if (tensor.dim() != 4) fail("pads a kernel, but " + rule.from + " is " + to_text(tensor.sizes()));
    const std::int64_t down = rule.kernel[0] - tensor.size(2), across = rule.kernel[1] - tensor.size(3);
    if (down < 0 || across < 0 || down % 2 != 0 || across % 2 != 0) {
      fail("cannot pad " + rule.from + ", " + to_text(tensor.sizes()) + ", at its centre to a kernel of " +
           to_text(rule.kernel));
    }
    return at::constant_pad_nd(tensor, {across / 2, across / 2, down / 2, down / 2});
  }

  // Output i is the input that its group has in that place.
  at::Tensor operator()(const WeightTransfer::Identity& rule) const {
    at::Tensor tensor = at::zeros(rule.extents);
    if (rng_ == nullptr) return tensor;
    const at::Tensor out = at::arange(rule.extents[0]), in = out.remainder(rule.extents[1]);
    if (rule.extents.size() == 2) {
      tensor.index_put_({out, in}, at::ones({}));
    } else {
      tensor.select(3, rule.extents[3] / 2).select(2, rule.extents[2] / 2).index_put_({out, in}, at::ones({}));
    }
    if (rule.noise > 0.0) tensor.add_(normal(tensor.sizes(), rule.noise * deviation(tensor)));
    return tensor;
  }

  at::Tensor operator()(const WeightTransfer::Constant& rule) const {
    return at::full(rule.extents, rng_ == nullptr ? 0.0 : rule.value, at::kDouble);
  }
  at::Tensor operator()(const WeightTransfer::Fresh&) const { return {}; }
  at::Tensor operator()(const WeightTransfer::Calibrated&) const { return {}; }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InvalidInput("transfer" + place_ + " " + what); }

  const at::Tensor& source(const std::string& name) const {
    const auto found = before_.find(name);
    if (found == before_.end()) fail("follows from " + name + ", which its parent does not have there");
    return found->second;
  }

  at::Tensor gather(const at::Tensor& tensor, const WeightTransfer::Map& map, const std::string& source) const {
    if (map.dimension >= tensor.dim())
      fail("gathers along dimension " + std::to_string(map.dimension) + " of " + source + ", which is " +
           to_text(tensor.sizes()));
    const Extents indices = map.largest ? largest(*map.largest, tensor.size(map.dimension)) : map.indices;
    Extents from, changed;  // the latter by noise, if there is any
    std::map<std::int64_t, int> copies;
    for (std::size_t k = 0; k < indices.size(); ++k) {
      if (indices[k] >= tensor.size(map.dimension)) {
        fail("has index " + std::to_string(indices[k]) + ", but " + source + " is " + to_text(tensor.sizes()) +
             ", with " + std::to_string(tensor.size(map.dimension)) + " slices along dimension " +
             std::to_string(map.dimension));
      }
      from.push_back(std::max<std::int64_t>(indices[k], 0));
      const bool is_scaled = !map.scale.empty() && map.scale[k] != 1.0;
      if (++copies[indices[k]] > 1 || indices[k] < 0 || is_scaled) changed.push_back(static_cast<std::int64_t>(k));
    }
    at::Tensor result = tensor.index_select(map.dimension, at::tensor(from, at::kLong).to(tensor.device()));
    const auto slice = [&](std::int64_t k) { return result.select(map.dimension, k); };
    for (std::size_t k = 0; k < indices.size(); ++k) {
      const auto at = static_cast<std::int64_t>(k);
      if (indices[k] < 0) slice(at).fill_(rng_ == nullptr ? 0.0 : map.fill);
      if (const double factor = factor_of(map, k, copies[indices[k]]); factor != 1.0) slice(at).mul_(factor);
    }
    if (map.noise > 0.0 && rng_ != nullptr) {
      const double spread = map.noise * deviation(tensor);
      for (const std::int64_t k : changed) slice(k).add_(normal(slice(k).sizes(), spread).to(tensor.device()));
    }
    return result;
  }

  // What slice k is multiplied by. Of moments: whoever reads copies divides by their number, so that the gradient comes
  // to each divided; where a slice is divided itself, what it is multiplied with is not.
  double factor_of(const WeightTransfer::Map& map, std::size_t k, int copies) const {
    if (rng_ != nullptr) return map.scale.empty() ? 1.0 : map.scale[k];
    return map.scale.empty() ? std::pow(copies, -order_) : 1.0;
  }

  Extents largest(const WeightTransfer::Largest& largest, std::int64_t slices) const {
    const at::Tensor& measured = source(largest.norm_of);
    if (measured.dim() == 0 || measured.size(0) != slices || largest.count > slices) {
      fail("keeps " + std::to_string(largest.count) + " of " + std::to_string(slices) + " slices by the norms of " +
           largest.norm_of + ", which is " + to_text(measured.sizes()));
    }
    const at::Tensor norms =
        at::nan_to_num(measured.abs().reshape({slices, -1}).sum(1).to(at::kCPU, at::kDouble)).contiguous();
    Extents order(static_cast<std::size_t>(slices));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
    const double* const norm = norms.data_ptr<double>();
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return norm[a] > norm[b]; });
    order.resize(static_cast<std::size_t>(largest.count));
    std::sort(order.begin(), order.end());
    return order;
  }

  // Of values that are all the same, what a fresh layer's would be.
  static double deviation(const at::Tensor& tensor) {
    const double found = tensor.numel() < 2 ? 0.0 : at::std(tensor.to(at::kDouble), /*unbiased=*/false).item<double>();
    if (found > 0.0 || tensor.dim() < 2) return found;
    return std::sqrt(static_cast<double>(tensor.size(0)) / (3.0 * static_cast<double>(tensor.numel())));
  }
  at::Tensor normal(at::IntArrayRef extents, double deviation) const {
    return at::randn(extents, at::detail::createCPUGenerator((*rng_)()), at::TensorOptions(at::kFloat)).mul_(deviation);
  }

  const NamedTensors& before_;
  std::string place_;
  Rng* rng_;
  int order_;
};

// The tensor that a rule follows from, if it is one.
std::string source_of(const WeightTransfer::Rule& rule) {
  if (const auto* gather = std::get_if<WeightTransfer::Gather>(&rule)) return gather->from;
  if (const auto* pad = std::get_if<WeightTransfer::Pad>(&rule)) return pad->from;
  return {};
}

Inherited execute(const NamedTensors& parent, const WeightTransfer& transfer, Rng* rng, int order = 0) {
  const at::NoGradGuard no_grad;
  Inherited all{parent, {}, {}};
  std::set<std::string> fresh, calibrated;
  for (std::size_t i = 0; i < transfer.steps.size(); ++i) {
    const WeightTransfer::Step& step = transfer.steps[i];
    const std::string place = "/steps/" + std::to_string(i);
    NamedTensors made;
    std::set<std::string> made_fresh, made_calibrated;
    for (const auto& [name, rule] : step.tensors) {
      // What follows from something that the child begins with itself, it begins with itself.
      const std::string source = source_of(rule);
      if (std::holds_alternative<WeightTransfer::Fresh>(rule) || fresh.contains(source)) {
        made_fresh.insert(name);
      } else if (std::holds_alternative<WeightTransfer::Calibrated>(rule) || calibrated.contains(source)) {
        made_calibrated.insert(name);
      } else {
        made[name] = std::visit(Execution(all.tensors, place + "/tensors/" + name, rng, order), rule);
      }
    }
    for (const std::string& name : step.removed) {
      if (step.tensors.contains(name))
        throw InvalidInput("transfer" + place + "/removed names " + name + ", which the step makes");
      const bool begins_itself = fresh.erase(name) + calibrated.erase(name) > 0;
      if (all.tensors.erase(name) == 0 && !begins_itself)
        throw InvalidInput("transfer" + place + "/removed names " + name + ", which its parent does not have there");
    }
    for (const auto& [name, rule] : step.tensors) {
      fresh.erase(name);
      calibrated.erase(name);
      all.tensors.erase(name);
    }
    fresh.merge(made_fresh);
    calibrated.merge(made_calibrated);
    all.tensors.merge(made);
  }
  all.fresh.assign(fresh.begin(), fresh.end());
  all.calibrated.assign(calibrated.begin(), calibrated.end());
  return all;
}

}  // namespace

Inherited inherit(const NamedTensors& parent, const WeightTransfer& transfer, Rng rng) {
  return execute(parent, transfer, &rng);
}

NamedTensors inherit_moments(const NamedTensors& parent, const WeightTransfer& transfer, int order) {
  return execute(parent, transfer, nullptr, order).tensors;
}

void take_over(Network& child, const Inherited& inherited) {
  const NamedTensors wanted = child.state();
  std::set<std::string> begins_itself(inherited.fresh.begin(), inherited.fresh.end());
  begins_itself.insert(inherited.calibrated.begin(), inherited.calibrated.end());
  std::string wrong;
  for (const auto& [name, tensor] : wanted) {
    const auto found = inherited.tensors.find(name);
    if (found == inherited.tensors.end() && !begins_itself.contains(name)) {
      wrong += "; it says nothing of " + name;
    } else if (found != inherited.tensors.end() && found->second.sizes() != tensor.sizes()) {
      wrong += "; it makes " + name + " " + to_text(found->second.sizes()) + ", not " + to_text(tensor.sizes());
    }
  }
  for (const auto& [name, tensor] : inherited.tensors) {
    if (!wanted.contains(name)) wrong += "; the child has no " + name;
  }
  for (const std::string& name : begins_itself) {
    if (!wanted.contains(name)) wrong += "; the child has no " + name;
  }
  if (!wrong.empty()) throw InvalidInput("the transfer leads to another network than the child's" + wrong);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : inherited.tensors) wanted.at(name).copy_(tensor);
}

namespace {

// What a node reads, in the mode that the network is in. Nodes that cost nothing are not shown: then it is what the next
// one before them gave.
at::Tensor read_by(const Node& node, Network& network, const at::Tensor& examples) {
  std::vector<const Node*> before = {&network.architecture().node(node.inputs[0])};
  while (before.back()->inputs.size() == 1)
    before.push_back(&network.architecture().node(before.back()->inputs[0]));
  std::size_t nearest = before.size();
  at::Tensor read = examples;
  network.forward_observed(examples, [&](const Node& shown, const at::Tensor& output) {
    const auto found = std::find_if(before.begin(), before.end(), [&](const Node* one) { return one->name == shown.name; });
    const auto at = static_cast<std::size_t>(found - before.begin());
    if (at >= nearest) return;
    nearest = at;
    read = output.clone();
  });
  return read;
}

}  // namespace

void calibrate(Network& network, const std::vector<std::string>& tensors, const at::Tensor& examples) {
  const at::NoGradGuard no_grad;
  std::set<std::string> open(tensors.begin(), tensors.end());
  const NamedTensors state = network.state();
  const bool was_training = network.is_training();
  network.eval();
  for (const Node& node : network.architecture().nodes()) {
    const auto wanted = [&](const char* tensor) { return open.erase(node.name + tensor) > 0; };
    if (node.operation != "batch_norm") continue;
    const bool mean = wanted(".running_mean"), variance = wanted(".running_var"), weight = wanted(".weight"),
               bias = wanted(".bias");
    if (!mean && !variance && !weight && !bias) continue;
    const at::Tensor read = read_by(node, network, examples).transpose(0, 1).flatten(1).to(at::kFloat);  // by channel
    const at::Tensor centre = read.mean(1), spread = read.var(1, /*unbiased=*/false);
    if (mean) state.at(node.name + ".running_mean").copy_(centre);
    if (variance) state.at(node.name + ".running_var").copy_(spread);
    if (weight) state.at(node.name + ".weight").copy_((spread + node.attributes.at("eps").get<double>()).sqrt());
    if (bias) state.at(node.name + ".bias").copy_(centre);
  }
  network.train(was_training);
  if (!open.empty())
    throw InvalidInput("only a batch norm's tensors can be calibrated on a batch; " + *open.begin() + " is none");
}

}  // namespace weft
