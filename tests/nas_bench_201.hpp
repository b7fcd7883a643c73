// NAS-Bench-201's table, for tests of how well optimizers search, where it is there.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace weft::testing {

// Notation -> validation accuracy after 12 epochs; empty where the table is absent.
inline std::unordered_map<std::string, double> nas_bench_201() {
  const char* data = std::getenv("WEFT_DATA");
  const std::filesystem::path root = data != nullptr ? data : std::string(WEFT_TEST_SOURCE) + "/../shared/data";
  std::ifstream file(root / "nas-bench-201/cifar10.csv");
  std::unordered_map<std::string, double> table;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream text(line);
    std::string number, architecture, accuracy;
    std::getline(text, number, ','), std::getline(text, architecture, ','), std::getline(text, accuracy, ',');
    table[architecture] = std::stod(accuracy);
  }
  return table;
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace weft::testing
