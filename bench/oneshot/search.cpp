// Weft's columns of the benchmark: a strategy searches the supernet of the space darts for two epochs, of which the
// second is timed.
//
//   bench_oneshot write FILE CHANNELS CELLS            the supernet, as JSON
//   bench_oneshot search STRATEGY ARGS CHANNELS CELLS BATCH STEPS
//                                                      prints {"parameters", "seconds_per_step", "peak_mib"}
#include <malloc.h>
#include <sys/resource.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "weft/oneshot.hpp"
#include "weft/testing/library.hpp"

namespace {

using weft::Json;
using weft::testing::Instance;
using weft::testing::Plugin;

const Json study = {{"phase", "search"}, {"task", {{"input", {3, 32, 32}}, {"classes", 10}}}};

Plugin plugin(const std::string& kind, const std::string& name) {
  return Plugin::open(std::filesystem::path(WEFT_BENCH_PLUGINS) / kind / name / "manifest.json");
}

Instance space(const char* channels, const char* cells) {
  return Instance(plugin("space", "darts"), {{"channels", std::stoi(channels)}, {"layers", std::stoi(cells)}},
                  {.study = study});
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

void search(char** argument) {
  const Plugin strategy = plugin("oneshot", argument[0]);
  Json args = Json::parse(argument[1]);
  const int batch = std::stoi(argument[4]), steps = std::stoi(argument[5]);
  args.update({{"epochs", 2}, {"batch_size", batch}, {"validation_examples", 10}, {"calibration_batches", 0}});
  const Instance darts = space(argument[2], argument[3]);
  const double share = args.value("structure_share", strategy.configuration(args).at("structure_share").get<double>());
  const int examples = static_cast<int>(batch * steps / (1.0 - share));
  const Instance dataset(plugin("dataset", "synthetic"),
                         {{"resolution", 32}, {"train", examples}, {"validation", 10}, {"test", 10}}, {.study = study});
  const Instance instance(
      strategy, args, {.study = study, .collaborators = {{"space", darts.handle()}, {"dataset", dataset.handle()}}});
  double seconds = 0.0;
  const weft_reporter reporter{sizeof(weft_reporter), &seconds, [](void* context, weft_text report) -> std::int32_t {
                                 *static_cast<double*>(context) =
                                     weft::detail::parse_json(report).at("seconds").get<double>();
                                 return 0;
                               }};
  const weft::OneShotResult result =
      weft::OneShotRef(instance.handle()).search({.trial = -1, .rng = weft::Rng(1)}, reporter);
  std::printf("{\"parameters\": %s, \"seconds_per_step\": %.6f, \"peak_mib\": %.1f}\n",
              result.metrics.at("supernet_parameters").dump().c_str(), seconds / steps, peak_mib());
}

}  // namespace

int main(int argc, char** argv) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // as weft's workers
  mallopt(M_TRIM_THRESHOLD, -1);
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "write" && argc == 5) {
    const Instance darts = space(argv[3], argv[4]);
    std::ofstream(argv[2]) << weft::SpaceRef(darts.handle()).supernet().to_json().dump();
  } else if (command == "search" && argc == 8) {
    search(argv + 2);
  } else {
    std::fprintf(stderr,
                 "usage: bench_oneshot write FILE CHANNELS CELLS | search STRATEGY ARGS CHANNELS CELLS BATCH STEPS\n");
    return 1;
  }
  return 0;
}
