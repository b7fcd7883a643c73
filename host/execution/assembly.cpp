#include "host/execution/assembly.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "host/execution/calls.hpp"
#include "host/plugins/library.hpp"
#include "host/processes/signals.hpp"

namespace weft::host {

struct Assembly::Part {
  Assembly* assembly;
  std::string role;
  const Manifest* manifest;
  const weft_component* component = nullptr;
  void* instance = nullptr;
};

// That a part is being created, for as long as it is.
class Assembly::Unfinished {
 public:
  Unfinished(std::vector<const Part*>& parts, const Part& part) : parts_(parts) { parts_.push_back(&part); }
  ~Unfinished() { parts_.pop_back(); }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

 private:
  std::vector<const Part*>& parts_;
};

Assembly::Assembly(const Pipeline& pipeline, Json task, Phase phase)
    : pipeline_(pipeline), task_(std::move(task)), phase_(phase) {
  if (task_.is_null() && pipeline_.json().contains("task")) task_ = pipeline_.json().at("task");
}

Assembly::~Assembly() {
  while (!parts_.empty()) {
    if (parts_.back()->instance != nullptr) parts_.back()->component->destroy(parts_.back()->instance);
    parts_.pop_back();
  }
}

std::optional<weft_handle> Assembly::role(std::string_view name) {
  if (name == "space") return space_part();
  if (name == "dataset" && pipeline_.dataset) return part("dataset", *pipeline_.dataset);
  return {};
}

// A plugin that asks for what is waiting for it would be created without end.
void Assembly::expect_finished(const std::string& key) const {
  const auto first =
      std::find_if(unfinished_.begin(), unfinished_.end(), [&](const Part* part) { return part->role == key; });
  if (first == unfinished_.end()) return;
  std::string chain;
  for (auto part = first; part != unfinished_.end(); ++part) chain += (*part)->manifest->title() + " asks for ";
  throw Error(fmt::format("{}{} while that is being created; a plugin may ask only for what does not need it", chain,
                          (*first)->manifest->title()));
}

weft_handle Assembly::part(const std::string& role_name, const Use& use, std::size_t index) {
  const std::string key = fmt::format("{}/{}", role_name, index);
  for (const auto& part : parts_) {
    if (part->role == key) return {part->component, part->instance};
  }
  expect_finished(key);
  auto part = std::make_unique<Part>(Part{this, key, use.manifest});
  part->component = &open_component(*use.manifest);

  Json objectives = Json::array();
  for (const ObjectiveUse& objective : pipeline_.objectives) objectives.push_back({{"name", objective.manifest->name}});
  Json study = {{"phase", phase_ == Phase::final ? "final" : "search"},
                {"objectives", std::move(objectives)},
                {"budget", pipeline_.json().at("budget")},
                {"slots", std::max<std::size_t>(1, pipeline_.slots.size())}};
  if (!task_.is_null()) study["task"] = task_;
  const std::string study_text = study.dump();
  const std::string configuration = use.args.dump();
  weft_context context{};
  context.size = sizeof(context);
  context.configuration = detail::text(configuration);
  context.study = detail::text(study_text);
  context.rng = Rng(pipeline_.seed()).derive(use.manifest->title(), index).state();
  context.host = part.get();
  context.log = [](void* host, std::int32_t level, weft_text message) {
    const auto severity = level <= 0   ? spdlog::level::debug
                          : level == 1 ? spdlog::level::info
                          : level == 2 ? spdlog::level::warn
                                       : spdlog::level::err;
    spdlog::log(severity, "{}: {}", static_cast<Part*>(host)->manifest->title(), detail::view(message));
  };
  context.collaborator = [](void* host, weft_text name, weft_handle* found, const weft_writer* error) {
    return detail::guard(error, [&] {
      const std::optional<weft_handle> handle = static_cast<Part*>(host)->assembly->role(detail::view(name));
      if (!handle) throw Error(fmt::format("the pipeline has no {}", detail::view(name)));
      *found = *handle;
    });
  };
  detail::StringWriter error;
  const SignalsKept signals;
  try {
    const Unfinished unfinished(unfinished_, *part);
    detail::check(part->component->create(&context, &part->instance, error), error);
    if (part->instance == nullptr) throw Error("create succeeded without an instance");
  } catch (const InvalidInput& invalid) {
    // A collaborator that was refused in the course of it has been named.
    if (std::string_view(invalid.what()).starts_with(pipeline_.file() + ": ")) throw;
    const std::string pointer =
        index == 0 && role_name != "objectives" ? "/" + role_name : fmt::format("/{}/{}", role_name, index);
    throw InvalidInput(fmt::format("{}: {}/args{}{}", pipeline_.file(), pointer, invalid.what()[0] == '/' ? "" : ": ",
                                   invalid.what()));
  } catch (...) {
    rethrow_as_refusal(*use.manifest, "create");
  }
  // A plugin may have asked for collaborators while it was created: they come before it.
  parts_.push_back(std::move(part));
  return {parts_.back()->component, parts_.back()->instance};
}

weft_handle Assembly::space_part() {
  return phase_ == Phase::final && pipeline_.final ? part("final/space", pipeline_.final->space)
                                                   : part("space", pipeline_.space);
}

SpaceRef Assembly::space() { return SpaceRef(space_part()); }
OptimizerRef Assembly::optimizer() { return OptimizerRef(part("optimizer", pipeline_.optimizer)); }

EvaluatorRef Assembly::evaluator() {
  return EvaluatorRef(phase_ == Phase::final ? part("final/evaluator", pipeline_.final->evaluator)
                                             : part("evaluator", pipeline_.evaluator));
}

std::vector<ObjectiveRef> Assembly::objectives() {
  std::vector<ObjectiveRef> references;
  for (std::size_t i = 0; i < pipeline_.objectives.size(); ++i)
    references.emplace_back(part("objectives", pipeline_.objectives[i], i));
  return references;
}

Json Assembly::task() {
  if (!pipeline_.dataset) return task_.is_null() ? Task{}.to_json() : task_;
  const weft_handle handle = part("dataset", *pipeline_.dataset);
  const auto* table = static_cast<const weft_task_1*>(handle.component->find_interface(WEFT_TASK_1));
  if (table == nullptr) throw Error(fmt::format("{} does not describe its task", pipeline_.dataset->manifest->title()));
  detail::StringWriter out;
  detail::StringWriter error;
  detail::check(table->describe(handle.instance, out, error), error);
  return detail::parse_json(out.text());
}

}  // namespace weft::host
