// A folder of JPEG files as the plugin reads it: by one thread and by as many as there are cores, in interleaved
// rounds.

#include <fmt/format.h>
#include <tbb/global_control.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <vector>

// jpeglib.h needs <cstdio> before it, jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
// clang-format on

#include "weft/rng.hpp"
#include "weft/testing/library.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int rounds = 5;
constexpr int files = 1000;
constexpr int side = 256;

// Smooth colours with some noise, as photographs are.
void write_picture(const fs::path& file, weft::Rng rng) {
  std::vector<JSAMPLE> pixels;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      for (const int value : {x, y, (x + y) / 2}) pixels.push_back(static_cast<JSAMPLE>((value + rng.below(32)) % 256));
    }
  }
  jpeg_compress_struct encoder{};
  jpeg_error_mgr errors{};
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  std::FILE* stream = std::fopen(file.c_str(), "wb");
  jpeg_stdio_dest(&encoder, stream);
  encoder.image_width = encoder.image_height = side;
  encoder.input_components = 3;
  encoder.in_color_space = JCS_RGB;
  jpeg_set_defaults(&encoder);
  jpeg_start_compress(&encoder, TRUE);
  for (int y = 0; y < side; ++y) {
    JSAMPLE* row = pixels.data() + static_cast<std::size_t>(y) * side * 3;
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  jpeg_destroy_compress(&encoder);
  std::fclose(stream);
}

double seconds_to_load(const weft::testing::Plugin& plugin, const fs::path& folder, std::size_t threads) {
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
  const auto start = std::chrono::steady_clock::now();
  const weft::testing::Instance data(plugin, {{"folder", folder.string()}, {"resolution", 32}, {"validation", 100}});
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int, char** arguments) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("weft-bench-image-folder-{}", getpid());
  for (int i = 0; i < files; ++i) {
    const fs::path place = folder / "train" / (i % 2 == 0 ? "cat" : "dog");
    fs::create_directories(place);
    write_picture(place / fmt::format("{}.jpg", i), weft::Rng(1, static_cast<std::uint64_t>(i)));
  }
  const auto plugin = weft::testing::Plugin::open(fs::path(arguments[1]));
  const std::size_t cores = std::thread::hardware_concurrency();
  std::vector<double> ratios;
  double one = 0.0;
  for (int round = 0; round < rounds; ++round) {
    one = seconds_to_load(plugin, folder, 1);
    ratios.push_back(one / seconds_to_load(plugin, folder, cores));
  }
  fs::remove_all(folder);
  std::sort(ratios.begin(), ratios.end());
  fmt::print("{} JPEG files of {} x {}: {:.2f} s on one core, {:.2f} times as fast on {} (median of {} rounds)\n",
             files, side, side, one, ratios[rounds / 2], cores, rounds);
}
