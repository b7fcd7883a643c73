// Distillation: nothing to learn from oneself, gradients of the closed form, and teachers that do not fit.

#include <ATen/ATen.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/loss_contract.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::testing::Plugin;
using weft::testing::Surroundings;

weft::Architecture linear(int features, int classes) {
  weft::ArchitectureBuilder graph;
  const weft::NodeId input = graph.input(weft::Shape::features(features));
  return std::move(graph).build(graph.add("linear", {{"features", classes}}, {input}));
}

// A trained network, as a study leaves it in best/.
class Teacher {
 public:
  Teacher() : Teacher(weft::Network(linear(3, 5), weft::Rng(9))) {}
  explicit Teacher(const weft::Network& network)
      : folder_(fs::temp_directory_path() / ("weft_teacher_" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
    std::ofstream(folder_ / "architecture.json") << network.architecture().to_json();
    weft::save_weights(network, folder_ / "weights.pt");
  }
  ~Teacher() { fs::remove_all(folder_); }
  std::string path() const { return folder_.string(); }

 private:
  fs::path folder_;
};

Surroundings task(int features, int classes) {
  return {.study = {{"task", weft::Task{weft::Shape::features(features), classes}.to_json()}}};
}

}  // namespace

TEST_CASE("loss distillation: its gradient is the difference of the softened answers, and of one's own answers none") {
  const Teacher teacher;
  const Json args = {{"teacher", teacher.path()}, {"temperature", 2}, {"weight", 0.5}};
  weft::testing::check_loss(Plugin::open("loss", "distillation"), args, task(3, 5));

  const auto loss = weft::testing::ingredient_of<weft::Loss>(Plugin::open("loss", "distillation"), args, task(3, 5));
  weft::Network student(linear(3, 5), weft::Rng(9)), taught(linear(3, 5), weft::Rng(9));
  const weft::Batch batch{at::randn({4, 3}), at::zeros({4}, at::kLong)};
  const at::Tensor same = student.forward(batch.images).logits;
  CHECK(loss->loss({student, batch, {same, {}, {}}, 0.0}).item<double>() == Approx(0.0).margin(1e-6));

  const at::Tensor logits = at::randn({4, 5}).requires_grad_();
  loss->loss({student, batch, {logits, {}, {}}, 0.0}).backward();
  // weight T^2 / n times (softmax(s / T) - softmax(t / T)) / T
  const at::Tensor expected =
      0.5 * 2.0 / 4.0 * (at::softmax(logits.detach() / 2, -1) - at::softmax(same.detach() / 2, -1));
  CHECK(at::allclose(logits.grad(), expected, 1e-4, 1e-6));
}

TEST_CASE("loss distillation refuses a teacher that is absent, or was taught something else") {
  const Teacher teacher;
  const auto refused = [&](const std::string& path, const Surroundings& surroundings, const std::string& text) {
    CHECK_THROWS_WITH(weft::testing::ingredient_of<weft::Loss>(Plugin::open("loss", "distillation"),
                                                               {{"teacher", path}}, surroundings),
                      Catch::Contains(text));
  };
  refused("/no/such/folder", task(3, 5), "/no/such/folder/architecture.json");
  refused(teacher.path(), task(4, 5), "/teacher: its network takes");
  refused(teacher.path(), task(3, 6), "tells 5 classes apart, but the task has 6");
}

// With batch norm, dropout and learned groups: what a network computes in evaluation, and nowhere else.
TEST_CASE("loss distillation: the teacher answers as in evaluation and learns nothing, condensed or not") {
  weft::ArchitectureBuilder graph;
  weft::NodeId at = graph.input(weft::Shape::image(8, 4, 4));
  at = graph.add("learned_group_conv", {{"channels", 8}, {"groups", 2}, {"condensation", 4}}, {at});
  at = graph.add("dropout", {{"probability", 0.5}}, {graph.add("batch_norm", {}, {at})});
  at = graph.add("linear", {{"features", 5}}, {graph.add("global_avg_pool", {}, {at})});
  weft::Network network(std::move(graph).build(at), weft::Rng(9));
  network.forward(at::randn({64, 8, 4, 4}));  // statistics that are not those of the batch below
  network.set_progress(1.0);
  network.eval();
  weft::Network student(linear(3, 5), weft::Rng(1));
  const weft::Batch batch{at::randn({4, 8, 4, 4}) + 1.0, at::zeros({4}, at::kLong)};
  const at::Tensor answers = network.forward(batch.images).logits.detach();

  for (const bool condensed : {false, true}) {
    INFO((condensed ? "condensed" : "as it was trained"));
    if (condensed) network.condense();
    const Teacher teacher(network);
    const auto loss = weft::testing::ingredient_of<weft::Loss>(
        Plugin::open("loss", "distillation"), {{"teacher", teacher.path()}},
        {.study = {{"task", weft::Task{weft::Shape::image(8, 4, 4), 5}.to_json()}}});
    for (int step = 0; step < 2; ++step) {
      const at::Tensor value = loss->loss({student, batch, {answers, {}, {}}, 0.0});
      CHECK(value.item<double>() == Approx(0.0).margin(1e-5));
      CHECK_FALSE(value.requires_grad());
    }
  }
}
