// What slots ask of a machine, "cpu:<threads>" or "cuda:<index>", and what this one has.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/pipelines/pipeline.hpp"

namespace weft::host {

struct Machine {
  unsigned cores = 1;
  // As CUDA_VISIBLE_DEVICES names them, those alone that it leaves visible; nothing where the kernel does not tell.
  std::optional<std::vector<std::string>> cards;

  // `devices` is the kernel's folder of them.
  static Machine look(const std::filesystem::path& devices = "/dev");
  // The card of slot cuda:<index>, as CUDA_VISIBLE_DEVICES names it.
  std::string card(const std::string& index) const;
};

// Of the search and of the final training. Throws InvalidInput for a slot that `machine` does not have.
void check_slots(const Pipeline& pipeline, const Machine& machine);

}  // namespace weft::host
