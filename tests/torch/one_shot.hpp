// A small study for tests of one-shot strategies: a supernet of NAS-Bench-201, of one cell a stage, on synthetic
// images.
#pragma once

#include <string>

#include "tests/catch.hpp"
#include "weft/testing/dataset_contract.hpp"
#include "weft/testing/library.hpp"
#include "weft/testing/oneshot_contract.hpp"

namespace weft::testing {

class SmallStudy {
 public:
  explicit SmallStudy(const std::string& space = "nas_bench_201",
                      const Json& space_args = {{"cells", 1}, {"channels", 4}})
      : study_{{"phase", "search"}, {"task", {{"input", {1, 8, 8}}, {"classes", 4}}}},
        dataset_(Plugin::open("dataset", "synthetic"),
                 {{"channels", 1}, {"resolution", 8}, {"train", 120}, {"validation", 40}, {"test", 20}},
                 {.study = study_}),
        space_(Plugin::open("space", space), space_args, {.study = study_}) {}

  Surroundings surroundings() const {
    return {.study = study_, .collaborators = {{"dataset", dataset_.handle()}, {"space", space_.handle()}}};
  }
  SpaceRef space() const { return SpaceRef(space_.handle()); }

 private:
  Json study_;
  Instance dataset_, space_;
};

// What makes a search of a few seconds.
inline Json short_search(const Json& more = Json::object()) {
  Json args = {{"epochs", 3}, {"batch_size", 20}, {"crop_padding", 1}, {"calibration_batches", 2}};
  args.update(more);
  return args;
}

}  // namespace weft::testing
