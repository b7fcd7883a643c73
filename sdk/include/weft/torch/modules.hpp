// Operations as modules: one module per node of an architecture graph, holding that node's parameters.
//
// Called by Network, which makes a module for each node through OperationModules, registers it under the node's name
// and runs it by its plan (weft/torch/plan.hpp). Shapes and costs of the same operations: weft/operation.hpp.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/nn/module.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/rng.hpp"

namespace weft {

// What a batch norm normalises by in evaluation. running: by what it kept of training. batch: by the batch at hand, and
// what was kept stays. measured: by the batch, and what is kept is the mean over all batches since this was set.
enum class Statistics { running, batch, measured };

// What is computed of a choice.
struct Gate {
  std::vector<int> active;  // options, ascending, at least one
  at::Tensor weights = {};  // [active.size()], by which they are multiplied before they are added up; undefined: by 1
};
using Gates = std::map<std::string, Gate>;  // by decision

class OperationModule : public torch::nn::Module {
 public:
  // What a plan may do with this operation in the present mode (training or evaluation). All false is always correct.
  struct Traits {
    bool passes_through = false;   // the output is the input: the node costs nothing
    bool pure = false;             // a function of inputs and attributes alone: equal nodes are computed once
    bool commutative = false;      // the order of the inputs does not matter
    bool overwrites = false;       // can write its output over its first input
    bool output_reusable = false;  // the output is new memory that neither autograd nor the module keeps
    bool takes_relu = false;       // forward_along() computes a ReLU behind it for less than that costs by itself
    bool is_relu = false;          // it is max(0, .)
    bool takes_affine = false;     // forward_along() computes an affine map of channels behind it for less
    bool is_affine = false;        // it is such a map, affine()

    friend bool operator==(const Traits&, const Traits&) = default;
  };
  virtual Traits traits() const { return {}; }

  // Inputs in the node's order (any order if commutative), batch first, images channels-last. `overwrite` is set only
  // if traits().overwrites, and only if nobody else will read inputs[0].
  virtual at::Tensor forward(at::ArrayRef<at::Tensor> inputs, bool overwrite) = 0;

  // What each channel of an image is multiplied by, and what is added to it then: [channels].
  struct Affine {
    at::Tensor scale, shift;
  };
  virtual Affine affine() const { return {}; }

  // forward(), then the affine map and the ReLU, as far as there are any: for less than each by itself costs.
  struct Along {
    std::optional<Affine> affine;
    bool relu = false;
  };
  virtual at::Tensor forward_along(at::ArrayRef<at::Tensor> inputs, const Along& along);

  // Of a choice: that so many of its inputs are active, and what each of those is multiplied by, [active]; undefined:
  // by nothing. See Network::choose.
  virtual void take(std::size_t /*active*/, at::Tensor /*weights*/) {}

  // The recipe's present drop-path probability, in [0, 1).
  virtual void set_drop_path(double) {}

  // How far the training is, 0 at its start and 1 at its end: for what changes in its course.
  virtual void set_progress(double) {}

  virtual void set_statistics(Statistics) {}

  // Whether a sequence continues the one before it, or begins anew; see Network::carry_state.
  virtual void carry_state(bool) {}
  // What is carried to the next sequence; none where that begins anew.
  virtual std::vector<at::Tensor> carried() const { return {}; }
  virtual void set_carried(std::vector<at::Tensor>) {}

  // Of a module that holds a graph: what of its choices is computed. The gates have been checked, and may be of other
  // graphs besides.
  virtual void choose(const Gates&) {}
  // The parameters that the output depends on, as far as it was chosen.
  virtual std::vector<at::Tensor> taking_part() const { return parameters(); }

  // What forward() in training adds to the loss, a scalar, once; undefined: nothing.
  virtual at::Tensor take_penalty() { return {}; }

  // At progress 1: another module that computes the same at less cost and is no longer trained, in this one's mode and
  // on its device; null where there is none. See Network::condense.
  virtual std::shared_ptr<OperationModule> condensed() { return nullptr; }
};

// What a module is made from. `rng` is the node's own stream, for its initial weights. `sources` are the modules of the
// inputs, null for the graph's own: for who shares weights with them.
struct ModuleArguments {
  const Node& node;
  std::span<const Shape> inputs;
  Rng rng;
  std::span<const std::shared_ptr<OperationModule>> sources = {};
};
using ModuleFactory = std::function<std::shared_ptr<OperationModule>(const ModuleArguments&)>;

// The modules of a vocabulary (weft::Operations): the built-in one, or that and what `operation` plugins add.
class OperationModules {
 public:
  static const OperationModules& built_in();

  void add(std::string operation, ModuleFactory factory) {
    factories_.insert_or_assign(std::move(operation), std::move(factory));
  }
  // Throws InvalidInput naming the node and its operation if there is no module for it.
  std::shared_ptr<OperationModule> make(const ModuleArguments& arguments) const;

 private:
  std::map<std::string, ModuleFactory, std::less<>> factories_;
};

}  // namespace weft
