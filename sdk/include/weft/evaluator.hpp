// An evaluator: how good is this candidate?
//
// It is handed a request, may report after every epoch and is answered whether to go on, and returns metrics. It runs
// where the executor puts it: in the host when the manifest provides "evaluator.inline", else in a worker process.
//
// In the trial's folder two names have a meaning to the host, which removes them when they are of no more use:
// weights.pt, the trained network, and checkpoint.pt, from which an interrupted evaluation goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/rng.hpp"
#include "weft/trial.hpp"

namespace weft {

struct EvaluationRequest {
  TrialId trial = 0;
  Genotype genotype = {};
  Fidelity fidelity = {};
  Json transfer = {};                                // null, or how weights follow from the parent's (WeightTransfer)
  std::optional<std::filesystem::path> folder = {};  // the trial's own; checkpoints of earlier attempts lie here
  std::optional<std::filesystem::path> resume_folder = {};   // of the trial that fidelity.resume_from names
  std::optional<std::filesystem::path> inherit_folder = {};  // of the parent whose weights the transfer is about
  // As release 1.0 has it: the former, or else the latter.
  std::optional<std::filesystem::path> parent_folder = {};
  Rng rng{0};  // the trial's stream: the same on every attempt
};

// What the other side answers to a report.
enum class Verdict { go_on = 0, stop = 1, pause = 2 };

// The way back to the host while an evaluation runs.
class Reporter {
 public:
  explicit Reporter(const weft_reporter* reporter) : reporter_(reporter) {}
  // `report` is {"epoch": n, metric: number, ...}, n counted from 1. On `pause`: checkpoint and return.
  Verdict report(const Json& report) const {
    if (reporter_ == nullptr || reporter_->report == nullptr) return Verdict::go_on;
    return static_cast<Verdict>(reporter_->report(reporter_->context, detail::text(report.dump())));
  }

 private:
  const weft_reporter* reporter_;
};

struct Evaluation {
  TrialState state = TrialState::complete;  // pruned or paused when the reporter ended it early
  Json metrics = Json::object();            // name -> number
};

class Evaluator {
 public:
  static constexpr const char* kind = "evaluator";

  virtual ~Evaluator() = default;
  // Throws Error if the candidate cannot be evaluated (the trial fails, the study goes on).
  virtual Evaluation evaluate(const EvaluationRequest& request, const Reporter& reporter) = 0;
  // Of data of its own that its answers come from, such as a table: a text that changes with them. A study that is
  // resumed compares it. Empty: it has none.
  virtual std::string fingerprint() const { return {}; }
};

namespace detail {

inline std::optional<std::filesystem::path> to_folder(weft_text path) {
  if (path.size == 0) return {};
  return view(path);
}

inline EvaluationRequest to_request(const weft_request& lent) {
  EvaluationRequest request;
  request.trial = lent.trial;
  request.genotype = to_genotype(lent.genotype);
  if (lent.fidelity.size != 0) request.fidelity = Fidelity::from_json(parse_json(lent.fidelity));
  request.transfer = parse_json(lent.transfer);
  request.folder = to_folder(lent.folder);
  request.parent_folder = to_folder(lent.parent_folder);
  if (lent.size >= offsetof(weft_request, inherit_folder) + sizeof(weft_text)) {
    request.resume_folder = to_folder(lent.resume_folder);
    request.inherit_folder = to_folder(lent.inherit_folder);
  } else {  // a host of release 1.0
    (request.fidelity.resume_from ? request.resume_folder : request.inherit_folder) = request.parent_folder;
  }
  request.rng = Rng(lent.rng);
  return request;
}

// A request as the tables want it, for as long as this lives.
class LentRequest {
 public:
  explicit LentRequest(const EvaluationRequest& request)
      : genotype_(request.genotype),
        fidelity_(request.fidelity == Fidelity{} ? "" : request.fidelity.to_json().dump()),
        transfer_(dump(request.transfer)),
        folder_(request.folder.value_or("").string()),
        resume_folder_(request.resume_folder.value_or("").string()),
        inherit_folder_(request.inherit_folder.value_or("").string()),
        parent_folder_(
            request.parent_folder.value_or(resume_folder_.empty() ? inherit_folder_ : resume_folder_).string()),
        lent_{sizeof(weft_request), request.trial,        *genotype_,           text(fidelity_),
              text(transfer_),      text(folder_),        text(parent_folder_), request.rng.state(),
              text(resume_folder_), text(inherit_folder_)} {}
  LentRequest(const LentRequest&) = delete;
  LentRequest& operator=(const LentRequest&) = delete;

  operator const weft_request*() const { return &lent_; }

 private:
  LentGenotype genotype_;
  std::string fidelity_, transfer_, folder_, resume_folder_, inherit_folder_, parent_folder_;
  weft_request lent_;
};

template <typename T>
struct EvaluatorTables {
  static constexpr weft_evaluator_1 evaluator{
      .size = sizeof(weft_evaluator_1),
      .evaluate = [](void* instance, const weft_request* lent, const weft_reporter* reporter,
                     const weft_writer* metrics, const weft_writer* error) {
        return guard(error, [&] {
          Evaluation evaluation = self<T>(instance).evaluate(to_request(*lent), Reporter(reporter));
          if (evaluation.state != TrialState::complete) evaluation.metrics["state"] = to_string(evaluation.state);
          write(metrics, evaluation.metrics.dump());
        });
      }};

  static constexpr weft_task_1 task{
      .size = sizeof(weft_task_1), .describe = [](void* instance, const weft_writer* out, const weft_writer* error) {
        return guard(error, [&] { write(out, Json{{"fingerprint", self<T>(instance).fingerprint()}}.dump()); });
      }};

  static const void* find(std::string_view id) {
    if (id == WEFT_TASK_1) return &task;
    return id == WEFT_EVALUATOR_1 ? &evaluator : nullptr;
  }
};

}  // namespace detail

// An evaluator reached through its table.
class EvaluatorRef {
 public:
  explicit EvaluatorRef(weft_handle handle)
      : instance_(handle.instance),
        table_(static_cast<const weft_evaluator_1*>(handle.component->find_interface(WEFT_EVALUATOR_1))) {
    if (table_ == nullptr)
      throw Error(std::string(handle.component->name) + " is not an evaluator: it has no " WEFT_EVALUATOR_1);
    task_ = static_cast<const weft_task_1*>(handle.component->find_interface(WEFT_TASK_1));
  }

  // Empty where the plugin does not say.
  std::string fingerprint() const;

  Evaluation evaluate(const EvaluationRequest& request, const weft_reporter& reporter);

 private:
  void* instance_;
  const weft_evaluator_1* table_;
  const weft_task_1* task_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE std::string EvaluatorRef::fingerprint() const {
  if (task_ == nullptr) return {};
  detail::StringWriter out;
  detail::StringWriter error;
  detail::check(detail::need(task_, &weft_task_1::describe)(instance_, out, error), error);
  return detail::parse_json(out.text()).value("fingerprint", "");
}

WEFT_INLINE Evaluation EvaluatorRef::evaluate(const EvaluationRequest& request, const weft_reporter& reporter) {
  const detail::LentRequest lent(request);
  detail::StringWriter metrics;
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_evaluator_1::evaluate)(instance_, lent, &reporter, metrics, error), error);
  Evaluation evaluation;
  evaluation.metrics = detail::parse_json(metrics.text());
  if (!evaluation.metrics.is_object()) throw Error("the metrics are no JSON object");
  if (const auto state = evaluation.metrics.find("state"); state != evaluation.metrics.end()) {
    evaluation.state = trial_state(state->get<std::string>());
    evaluation.metrics.erase(state);
  }
  return evaluation;
}
#endif

}  // namespace weft
