// Distillation: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2. The
// divergence of the student's softened answers from the teacher's, times the temperature's square, so that its
// gradients are of the size of cross-entropy's whatever the temperature. The teacher sees the examples as the student
// does; but a recurrent teacher begins each sequence without memory, while the student's goes on from batch to batch.

#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "weft/data_path.hpp"
#include "weft/plugin.hpp"
#include "weft/torch/loss.hpp"
#include "weft/torch/network.hpp"

namespace {

weft::Architecture read_architecture(const std::filesystem::path& file) {
  weft::require_file(file, "Set /teacher to a folder with architecture.json and weights.pt");
  std::ifstream stream(file);
  try {
    return weft::Architecture::from_json(weft::Json::parse(stream));
  } catch (const weft::Json::exception& error) {
    throw weft::InvalidInput("/teacher: " + file.string() + " is not JSON: " + error.what());
  } catch (const weft::InvalidInput& error) {
    throw weft::InvalidInput("/teacher: " + file.string() + ": " + error.what());
  }
}

void check_fits(const weft::Architecture& teacher, const weft::Task& task) {
  for (const weft::Node& node : teacher.nodes()) {
    if (node.operation != "input" || node.shape == task.input) continue;
    throw weft::InvalidInput("/teacher: its network takes " + node.shape.to_string() + ", but the task's input is " +
                             task.input.to_string() + "; take one that was trained on this data");
  }
  const std::int64_t classes = teacher.shape(teacher.output()).channels;
  if (classes != task.classes)
    throw weft::InvalidInput("/teacher: its network tells " + std::to_string(classes) +
                             " classes apart, but the task has " + std::to_string(task.classes) +
                             "; take one that was trained on this data");
}

// Whether learned groups have an index in the place of their mask.
bool are_condensed(const std::map<std::string, at::Tensor>& weights) {
  return std::any_of(weights.begin(), weights.end(), [](const auto& entry) { return entry.first.ends_with(".index"); });
}

class Distillation final : public weft::Loss {
 public:
  explicit Distillation(const weft::Context& context)
      : temperature_(context.get<double>("temperature")), weight_(context.get<double>("weight")) {
    const std::filesystem::path folder = weft::data_path(context.get<std::string>("teacher"));
    const weft::Architecture architecture = read_architecture(folder / "architecture.json");
    check_fits(architecture, context.task());
    weft::require_file(folder / "weights.pt", "Set /teacher to a folder with architecture.json and weights.pt");
    teacher_ = std::make_shared<weft::Network>(architecture, weft::Rng(0));
    // Learned groups have condensed where the teacher's training came to its end.
    if (are_condensed(weft::read_weights(folder / "weights.pt"))) teacher_->condense();
    weft::load_weights(*teacher_, folder / "weights.pt");
    teacher_->eval();
  }

  at::Tensor loss(const Terms& terms) const override {
    const at::Tensor student = at::log_softmax(terms.output.logits / temperature_, -1);
    const at::Tensor taught = at::log_softmax(answers(terms.batch.images) / temperature_, -1);
    const double scale =
        weight_ * temperature_ * temperature_ / static_cast<double>(student.numel() / student.size(-1));
    return scale * at::kl_div(student, taught, at::Reduction::Sum, /*log_target=*/true);
  }

 private:
  at::Tensor answers(const at::Tensor& images) const {
    const at::NoGradGuard no_grad;
    teacher_->to(images.device());
    return teacher_->forward(images).logits;
  }

  double temperature_, weight_;
  std::shared_ptr<weft::Network> teacher_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Distillation>("distillation"))
