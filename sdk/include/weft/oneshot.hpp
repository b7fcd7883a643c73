// A one-shot strategy: how is one over-parameterised network trained, and which architecture does it hold?
//
// In a pipeline it stands in place of the optimizer: it runs as one job, with reports, a folder and a checkpoint, as a
// trial does, and what it derives become the study's trials. It runs in a worker process.
//
// In its folder two names have a meaning to the host and to others: checkpoint.pt, from which an interrupted search
// goes on, and supernet.pt, the trained network's tensors by name, for who evaluates with shared weights.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/evaluator.hpp"

namespace weft {

struct Derived {
  Genotype genotype;
  Json metrics = Json::object();  // name -> number: what the shared weights say of it

  Json to_json() const { return {{"genotype", genotype.to_json()}, {"metrics", metrics}}; }
  static Derived from_json(const Json& json) {
    return {Genotype::from_json(json.at("genotype")), json.value("metrics", Json::object())};
  }
};

struct OneShotResult {
  TrialState state = TrialState::complete;  // pruned or paused when the reporter ended it early
  std::vector<Derived> derived;             // best first
  Json metrics = Json::object();            // of the search as a whole: name -> number

  Json to_json() const;
  static OneShotResult from_json(const Json& json);
};

class OneShot {
 public:
  static constexpr const char* kind = "oneshot";

  virtual ~OneShot() = default;
  // Of `request` there are the folder, the stream of random numbers and the fidelity. What was reported before an
  // interruption may be reported once more. Throws Error if it cannot go on.
  virtual OneShotResult search(const EvaluationRequest& request, const Reporter& reporter) = 0;
};

namespace detail {

template <typename T>
struct OneShotTables {
  static constexpr weft_oneshot_1 oneshot{
      .size = sizeof(weft_oneshot_1),
      .search = [](void* instance, const weft_request* lent, const weft_reporter* reporter, const weft_writer* out,
                   const weft_writer* error) {
        return guard(error, [&] {
          const OneShotResult result = self<T>(instance).search(to_request(*lent), Reporter(reporter));
          write(out, result.to_json().dump());
        });
      }};

  static const void* find(std::string_view id) { return id == WEFT_ONESHOT_1 ? &oneshot : nullptr; }
};

}  // namespace detail

// A one-shot strategy reached through its table.
class OneShotRef {
 public:
  explicit OneShotRef(weft_handle handle)
      : instance_(handle.instance),
        table_(static_cast<const weft_oneshot_1*>(handle.component->find_interface(WEFT_ONESHOT_1))) {
    if (table_ == nullptr)
      throw Error(std::string(handle.component->name) + " is not a one-shot strategy: it has no " WEFT_ONESHOT_1);
  }

  OneShotResult search(const EvaluationRequest& request, const weft_reporter& reporter);

 private:
  void* instance_;
  const weft_oneshot_1* table_;
};

#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE OneShotResult OneShotRef::search(const EvaluationRequest& request, const weft_reporter& reporter) {
  const detail::LentRequest lent(request);
  detail::StringWriter out;
  detail::StringWriter error;
  detail::check(detail::need(table_, &weft_oneshot_1::search)(instance_, lent, &reporter, out, error), error);
  return OneShotResult::from_json(detail::parse_json(out.text()));
}

WEFT_INLINE Json OneShotResult::to_json() const {
  Json json = {{"derived", Json::array()}, {"metrics", metrics}};
  for (const Derived& one : derived) json["derived"].push_back(one.to_json());
  if (state != TrialState::complete) json["state"] = to_string(state);
  return json;
}

WEFT_INLINE OneShotResult OneShotResult::from_json(const Json& json) {
  OneShotResult result;
  try {
    if (json.contains("state")) result.state = trial_state(json.at("state").get<std::string>());
    for (const Json& one : json.at("derived")) result.derived.push_back(Derived::from_json(one));
    result.metrics = json.value("metrics", Json::object());
  } catch (const Json::exception& error) {
    throw Error(std::string("not the result of a one-shot search: ") + error.what());
  }
  return result;
}
#endif

}  // namespace weft
