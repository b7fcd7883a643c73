// The network of an architecture: the graph with weights.
//
// Evaluators construct it, move it to a device with to(), set train() or eval(), and call forward(). Parameters are
// named by node: "conv2d_3.weight", "batch_norm_4.running_mean". One thread at a time; random numbers of dropout and
// drop-path come from LibTorch's default generator of the device, which the training loop seeds.
//
// A supernet's graph has `choice` nodes (weft/supernet.hpp): its network holds all candidates, of which choose() says
// which are computed, and with which weights. What is not active is not computed and keeps nothing.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weft/architecture.hpp"
#include "weft/rng.hpp"
#include "weft/supernet.hpp"
#include "weft/torch/modules.hpp"
#include "weft/torch/plan.hpp"

namespace weft {

// Parameters and running statistics, or what else goes by names.
using NamedTensors = std::map<std::string, at::Tensor>;

// That every decision of the path is taken, without weights.
Gates gates_of(const SupernetPath& path);

class Network final : public torch::nn::Module {
 public:
  // Initial weights are drawn from `rng`, each node's from a stream derived by its name, and are distributed as PyTorch
  // does it by default: uniform within 1/sqrt(fan in). On the CPU, in training mode. Throws InvalidInput naming the
  // node if the graph has an operation without a module, or not exactly one input.
  Network(const Architecture& architecture, Rng rng, const OperationModules& modules = OperationModules::built_in());

  // What of a graph with choices is computed from here on. Gradients of a gate's weights are those of autograd. Throws
  // InvalidInput naming the decision that is missing, not the graph's, or takes options that do not exist.
  void choose(const Gates& gates);
  // By the order of parameters(): which the outputs depend on, as far as it was chosen.
  const std::vector<bool>& taking_part() const&;
  const std::vector<bool>& taking_part() const&& = delete;

  struct Output {
    at::Tensor logits;
    at::Tensor auxiliary;  // undefined outside training, or without an auxiliary classifier
    at::Tensor penalty;    // what operations add to the loss; undefined outside training, or without such
  };
  // `images` is float [n, channels, height, width] (or [n, features], [n, positions, features] as the graph's input
  // says, tokens being int64 [n, positions, 1]); channels-last is not copied. Sequences may be of another length than
  // the graph's. Throws InvalidInput if the extents are not the graph's, or nothing was chosen where there are choices.
  Output forward(const at::Tensor& images) { return run(images, nullptr); }

  // The same, showing each node's output as it is computed; none is computed along with another, which rounds
  // differently and takes longer. Nodes that cost nothing are not shown, and the tensor may be overwritten later: read
  // it, or copy it.
  using Observer = std::function<void(const Node& node, const at::Tensor& output)>;
  Output forward_observed(const at::Tensor& images, const Observer& observer) { return run(images, &observer); }

  // The schedule's present value, in [0, 1); each drop_path node multiplies it by its scale.
  void set_drop_path(double probability);

  // How far the training is, 0 to 1: for operations that change in its course.
  void set_progress(double progress);

  // Of the batch norms, in evaluation. Shared weights leave running statistics that are of no one architecture.
  void set_statistics(Statistics statistics);

  // Recurrent nodes go on where the last batch ended, with as many examples as it had, instead of beginning with zeros;
  // gradients end there (truncated back-propagation through time: Werbos 1990). Either setting forgets what was
  // carried.
  void carry_state(bool on);
  // What they carry, by node; who reads two texts in turns carries two. What is handed back must be of this network.
  // Tensors are shared, and never written to.
  using Carried = std::vector<std::vector<at::Tensor>>;
  Carried carried() const;
  void set_carried(const Carried& carried);

  // After the last step of training, for good: what training alone needed goes. Learned group convolutions become an
  // index and a group convolution (Huang et al. 2018, section 3.1), which drop what they had not dropped yet. The
  // outputs in evaluation are those of progress 1 up to rounding, and parameters() hold as many numbers as the graph's
  // cost says. state() is another then: load_weights takes it into a condensed network alone.
  void condense();

  // The mode is the network's: that of single modules is not to be changed, since a plan relies on it.
  void train(bool on = true) override;

  // These are the network's: a temporary one is to be given a name first.
  const Architecture& architecture() const& { return architecture_; }
  const Architecture& architecture() const&& = delete;
  const Plan& plan() const& { return plan_; }
  const Plan& plan() const&& = delete;

  // Parameters and running statistics by name; they share memory with the network. A parameter that only a `zero` reads
  // takes no part, and its gradient stays undefined.
  std::map<std::string, at::Tensor> state() const;

 private:
  Output run(const at::Tensor& images, const Observer* observer);
  Plan planned(bool along = true) const;
  void plan_anew();
  at::Tensor run(const Plan::Instruction& instruction, at::ArrayRef<at::Tensor> inputs);

  Architecture architecture_;
  NodeId input_ = 0;
  std::vector<std::shared_ptr<OperationModule>> modules_;  // by node; null for the input
  double drop_path_ = 0.0;
  std::vector<SupernetChoice> choices_;
  std::vector<std::vector<NodeId>> active_;  // by node: of choices, the inputs that are active; empty before choose()
  Plan plan_;
  mutable std::optional<std::vector<bool>> taking_part_;  // in the plan; found out when it is asked for
};

// Writes state() as a dictionary that `torch.load(path)` reads in Python, on the CPU; the file appears whole or not at
// all. Throws Error.
void save_weights(const Network& network, const std::filesystem::path& path);

// What such a file holds, on the CPU. Throws Error.
std::map<std::string, at::Tensor> read_weights(const std::filesystem::path& path);

// Throws Error naming missing, unexpected and mis-shaped entries; the network is unchanged then.
void load_weights(Network& network, const std::filesystem::path& path);

}  // namespace weft
