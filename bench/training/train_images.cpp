// The benchmark's third column: one of Weft's concurrent single-threaded trainings, by the training loop that
// evaluators use, in a process set up as a worker is. `bench/training/run` starts one per core. It trains where
// WEFT_DEVICE says.
//
//   bench_training write FOLDER                       each network as FOLDER/<name>.json
//   bench_training train FILE BATCH EXAMPLES SECONDS  {"parameters", "images_per_second"} on standard output
//   bench_training evaluate FILE BATCH SECONDS        {"images_per_second"}, of one batch again and again

#include <ATen/ATen.h>
#include <hwy/targets.h>
#include <malloc.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include "bench/recipe.hpp"
#include "bench/training/networks.hpp"
#include "weft/torch/training.hpp"
#include "weft/torch/training_trial.hpp"

namespace {

using weft::Json;

void write(const std::string& folder) {
  for (const auto& [name, architecture] : weft::bench::networks()) {
    std::ofstream(folder + "/" + name + ".json") << architecture.to_json();
    std::cout << name << "\n";
  }
}

void train(const std::string& file, std::int64_t batch_size, std::int64_t examples, double seconds) {
  const c10::Device device = weft::claim_device();
  std::ifstream stream(file);
  const weft::Architecture architecture = weft::Architecture::from_json(Json::parse(stream));
  const weft::Shape shape = architecture.shape(0);
  weft::Network network(architecture, weft::Rng(1));
  network.to(device);
  const std::vector<double> ones(static_cast<std::size_t>(shape.channels), 1.0);
  const weft::Split split{at::randint(256, {examples, shape.channels, shape.height, shape.width}, at::kByte)
                              .contiguous(at::MemoryFormat::ChannelsLast),
                          at::randint(architecture.shape(architecture.output()).channels, {examples}, at::kLong)};
  // The first epoch warms up; then whole epochs until the time is over.
  double elapsed = 0.0;
  std::int64_t epochs = 0;
  const auto report = [&](const Json& point) {
    if (point.at("epoch") > 1) {
      elapsed += point.at("seconds").get<double>();
      ++epochs;
    }
    return elapsed < seconds ? weft::Verdict::go_on : weft::Verdict::stop;
  };
  weft::Recipe recipe = weft::bench::recipe(batch_size);
  recipe.epochs = 1'000'000;
  weft::train(network, {split, {}, {ones, ones}}, recipe, weft::Rng(1), {.report = report, .device = device});
  std::cout << Json{{"parameters", architecture.cost().parameters},
                    {"images_per_second", static_cast<double>(epochs * examples) / elapsed}}
            << "\n";
}

void evaluate(const std::string& file, std::int64_t batch_size, double seconds) {
  std::ifstream stream(file);
  const weft::Architecture architecture = weft::Architecture::from_json(Json::parse(stream));
  const weft::Shape shape = architecture.shape(0);
  weft::Network network(architecture, weft::Rng(1));
  network.eval();
  const at::NoGradGuard no_grad;
  const at::Tensor images =
      at::randn({batch_size, shape.channels, shape.height, shape.width}).contiguous(at::MemoryFormat::ChannelsLast);
  network.forward(images);  // warms up
  std::int64_t batches = 0;
  double elapsed = 0.0;
  for (const auto begin = std::chrono::steady_clock::now(); elapsed < seconds; ++batches) {
    network.forward(images);
    elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  std::cout << Json{{"parameters", architecture.cost().parameters},
                    {"images_per_second", static_cast<double>(batches * batch_size) / elapsed}}
            << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (std::getenv("WEFT_BENCH_AVX2")) hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (args.size() == 2 && args[0] == "write") {
      write(args[1]);
    } else if (args.size() == 5 && args[0] == "train") {
      train(args[1], std::stoll(args[2]), std::stoll(args[3]), std::stod(args[4]));
    } else if (args.size() == 4 && args[0] == "evaluate") {
      evaluate(args[1], std::stoll(args[2]), std::stod(args[3]));
    } else {
      std::cerr << "bench_training write FOLDER | train FILE BATCH EXAMPLES SECONDS | evaluate FILE BATCH SECONDS\n";
      return 2;
    }
  } catch (const std::exception& error) {
    std::cerr << "bench_training: " << error.what() << "\n";
    return 1;
  }
}
