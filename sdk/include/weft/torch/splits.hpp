// How what a data set's files hold becomes its splits: disjoint by construction, the test split unseen by a search.
//
// A data-set plugin derives from SplitDataset and hands it what it read; the rest of weft::Dataset follows. Its
// manifest has the parameter `validation`, and may have `train_limit` and `stratified` (without it: false).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weft/torch/dataset.hpp"

namespace weft {

// What a data set's files hold.
struct DatasetFiles {
  std::int64_t classes = 0;
  Split training;
  std::optional<Split> test;             // to be read in the final phase only
  std::optional<Split> validation;       // where there are files of it; else it is held out of `training`
  std::vector<std::string> class_names;  // in the order of their numbers; empty where classes have no names
  std::vector<std::string> findings;     // to be said in the host's log as warnings, once a study
};

class SplitDataset : public Dataset {
 public:
  // Permutes the training examples by the context's stream and holds out the first `validation` of them, unless they
  // have files of their own; of the rest `train_limit` are kept (0: all). Where `stratified` is true, "the first" are
  // chosen class by class: each has its share of them as of all, rounded by largest remainder (of equal ones the lower
  // label's first). Throws InvalidInput if nothing would be left to train on.
  SplitDataset(DatasetFiles files, const Context& context);

  Task task() const override { return task_; }
  const Split& train() const override { return train_; }
  const Split& validation() const override { return validation_; }
  const Split& test() const override;
  std::vector<double> mean() const override { return mean_; }
  std::vector<double> standard_deviation() const override { return standard_deviation_; }
  std::vector<std::string> class_names() const override { return class_names_; }
  // The findings, how validation was held out, and classes that a split lacks. In the final phase: of the test split.
  void announce() const override;

 private:
  void divide(const Split& all, bool hold_out, const Context& context);

  Task task_;
  Split train_, validation_;
  std::optional<Split> test_;
  bool final_phase_;
  std::vector<double> mean_, standard_deviation_;
  std::vector<std::string> class_names_, findings_;
  std::string held_out_;  // in words; empty where validation has files of its own
  Log log_;
};

// The first `count` examples; shares memory with `split`.
Split first_examples(const Split& split, std::int64_t count);

// All examples of both.
Split join(const Split& first, const Split& second);

// Throws InvalidInput naming `place` and the first example whose label is not one of 0 .. classes-1.
void check_labels(const at::Tensor& labels, std::int64_t classes, const std::string& place);

}  // namespace weft
