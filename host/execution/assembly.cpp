#include "host/execution/assembly.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "host/execution/calls.hpp"
#include "host/execution/shared.hpp"
#include "host/plugins/library.hpp"
#include "host/processes/signals.hpp"

namespace weft::host {

namespace {

// "/epochs is 0" goes on from a pointer; "/data/train does not exist" does not.
bool names_a_parameter(std::string_view message, const Manifest& manifest) {
  if (!message.starts_with('/')) return false;
  const std::string_view name = message.substr(1, message.find_first_of("/ :;,", 1) - 1);
  return manifest.parameters().value("properties", Json::object()).contains(name);
}

// They are called by a thread of their own, and what else there is by another.
bool is_beside(const Manifest& manifest) { return manifest.kind == "stopper" || manifest.kind == "predictor"; }

}  // namespace

struct Assembly::Part {
  Assembly* assembly;
  std::string pointer;  // in the pipeline
  const Use* use;
  const Manifest* manifest;
  const weft_component* component = nullptr;
  void* instance = nullptr;
  // Of an ingredient and what is made for it:
  bool is_ingredient = false;
  Use own = {};                                   // what `use` points at, of an ingredient itself
  std::vector<std::unique_ptr<Part>> parts = {};  // its own collaborators

  ~Part() {
    if (instance != nullptr) component->destroy(instance);
  }
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

Assembly::Assembly(const Pipeline& pipeline, Json task, Phase phase, Json libraries)
    : pipeline_(pipeline), task_(std::move(task)), phase_(phase), libraries_(std::move(libraries)) {
  if (task_.is_null() && pipeline_.json().contains("task")) task_ = pipeline_.json().at("task");
  if (pipeline_.catalogue() != nullptr) share_plugins_of(*pipeline_.catalogue(), libraries_);
}

// Parts give back what was made for them.
Assembly::~Assembly() {
  while (!parts_.empty()) parts_.pop_back();
  while (!ingredients_.empty()) ingredients_.pop_back();
}

// "/sampler" is the plugin that an argument of the asking one names.
std::optional<weft_handle> Assembly::role(Part& asking, std::string_view name) {
  if (is_beside(*asking.manifest) && !name.starts_with('/'))
    throw Error(
        fmt::format("a {} works beside the search and has no {}; what it is to know of a candidate is in the "
                    "features of its curve",
                    asking.manifest->kind, name));
  if (name == "space") return space_part();
  if (name == "dataset" && pipeline_.dataset) return part("/dataset", *pipeline_.dataset);
  for (const Use& nested : asking.use->nested) {
    if (name != "/" + nested.argument) continue;
    const std::string pointer = asking.pointer + "/args" + std::string(name);
    return part_among(asking.is_ingredient ? asking.parts : parts_, pointer, nested, 0, asking.is_ingredient);
  }
  return {};
}

Assembly& Assembly::at(const Fidelity& fidelity) {
  if (!fidelity.level) return *this;
  const Pipeline& level = pipeline_.levels.at(static_cast<std::size_t>(*fidelity.level));
  const bool same_data = level.json().value("dataset", Json()) == pipeline_.json().value("dataset", Json());
  if (same_data && level.space.args == pipeline_.space.args && level.evaluator.args == pipeline_.evaluator.args)
    return *this;
  std::unique_ptr<Assembly>& at = levels_[*fidelity.level];
  if (!at) {
    at = std::make_unique<Assembly>(level, same_data ? task_ : Json(), phase_, libraries_);
    at->task();
  }
  return *at;
}

std::string Assembly::check_levels() {
  constexpr int samples = 20;
  std::string read;
  for (std::size_t level = 0; level < pipeline_.levels.size(); ++level) {
    Assembly& at = this->at({.level = static_cast<int>(level)});
    if (&at == this) continue;
    const Json task = at.task();
    read += (task.is_object() ? task.value("fingerprint", "") : "") + at.evaluator().fingerprint();
    Rng rng(pipeline_.seed());
    for (int i = 0; i < samples; ++i) {
      const Genotype genotype = space().sample(rng);
      try {
        at.space().decode_text(genotype);
      } catch (const InvalidInput& error) {
        throw InvalidInput(fmt::format(
            "{}: /fidelities/{}: {} cannot build the network of genotype {} at this level: {}. What a genotype means "
            "must "
            "be the same at all levels: take a space whose decisions do not depend on what this level changes, or "
            "another "
            "fidelity, such as epochs",
            pipeline_.file(), level, pipeline_.space.manifest->title(), genotype.to_json().dump(), error.what()));
      }
    }
  }
  return read.empty() ? "" : fmt::format("{:016x}", hash_text(read));
}

struct Assembly::Scaled {
  Pipeline pipeline;
  std::unique_ptr<Assembly> assembly = {};
};

Pipeline Assembly::scaled_pipeline(std::int64_t argument) const {
  Pipeline pipeline = pipeline_;
  pipeline.final->space.args[pipeline.final->scale->argument] = argument;
  pipeline.final->scale.reset();
  return pipeline;
}

std::int64_t Assembly::parameters_under(std::int64_t argument, const Genotype& genotype) const {
  const Pipeline pipeline = scaled_pipeline(argument);
  Assembly alone(pipeline, task_, phase_, libraries_);
  return alone.space().decode(genotype).architecture.cost().parameters;
}

Assembly& Assembly::scaled(const Genotype& genotype) {
  if (phase_ != Phase::final || !pipeline_.final || !pipeline_.final->scale) return *this;
  const Scale& scale = *pipeline_.final->scale;
  const auto fits = [&](std::int64_t multiple) {
    const std::int64_t argument = multiple * scale.multiple_of;
    return argument <= scale.largest && parameters_under(argument, genotype) <= scale.parameters;
  };
  if (!fits(1)) {
    throw InvalidInput(
        fmt::format("{}: /final/scale/parameters is {}; with {} = {} the network of genotype {} has more "
                    "already",
                    pipeline_.file(), scale.parameters, scale.argument, scale.multiple_of, genotype.key()));
  }
  std::int64_t most = 1;                                                          // multiple that fits
  std::int64_t over = 2;                                                          // and one that does not
  if (last_multiple_ > 1) (fits(last_multiple_) ? most : over) = last_multiple_;  // most genotypes are much alike
  if (most > 1) over = most + 1;
  for (std::int64_t step = 1; fits(over); step *= 2) most = std::exchange(over, over + step);
  while (over - most > 1) {
    const std::int64_t middle = most + (over - most) / 2;
    (fits(middle) ? most : over) = middle;
  }
  last_multiple_ = most;
  std::unique_ptr<Scaled>& scaled = scaled_[most * scale.multiple_of];
  if (!scaled) {
    scaled = std::make_unique<Scaled>(Scaled{scaled_pipeline(most * scale.multiple_of)});
    scaled->assembly = std::make_unique<Assembly>(scaled->pipeline, task_, phase_, libraries_);
  }
  return *scaled->assembly;
}

// Only the kinds that no objective can have as a collaborator are told directions and ranges: to know them, every
// objective is created first.
Json Assembly::study_for(const Manifest& manifest) {
  const bool told = manifest.kind == "optimizer" || manifest.kind == "evaluator" || manifest.kind == "predictor" ||
                    manifest.kind == "stopper";
  Json listed = Json::array();
  for (const ObjectiveUse& objective : pipeline_.objectives) listed.push_back({{"name", objective.manifest->name}});
  const std::vector<ObjectiveRef> created = told ? objectives() : std::vector<ObjectiveRef>();
  for (std::size_t i = 0; i < created.size(); ++i) {
    try {
      listed[i]["direction"] = created[i].direction() == Direction::maximize ? "maximize" : "minimize";
      if (const auto range = created[i].range()) listed[i]["range"] = {range->first, range->second};
    } catch (...) {
      rethrow_as_refusal(*pipeline_.objectives[i].manifest, "direction");
    }
  }
  Json study = {{"phase", phase_ == Phase::final ? "final" : "search"},
                {"objectives", std::move(listed)},
                {"budget", pipeline_.told.at("budget")},
                {"slots", pipeline_.told.at("slots")}};
  if (pipeline_.told.contains("fidelities")) study["fidelities"] = pipeline_.told.at("fidelities");
  if (pipeline_.told.contains("oneshot")) study["oneshot"] = pipeline_.told.at("oneshot");
  if (!task_.is_null()) study["task"] = task_;
  return study;
}

// A plugin that asks for what is waiting for it would be created without end.
void Assembly::expect_finished(const std::string& pointer) const {
  const auto first =
      std::find_if(unfinished_.begin(), unfinished_.end(), [&](const Part* part) { return part->pointer == pointer; });
  if (first == unfinished_.end()) return;
  std::string chain;
  for (auto part = first; part != unfinished_.end(); ++part) chain += (*part)->manifest->title() + " asks for ";
  throw Error(fmt::format("{}{} while that is being created; a plugin may ask only for what does not need it", chain,
                          (*first)->manifest->title()));
}

// `index` is that in a list of plugins, which tells apart the streams of several of one name.
weft_handle Assembly::part(const std::string& pointer, const Use& use, std::size_t index) {
  return part_among(parts_, pointer, use, index, /*is_ingredient=*/false);
}

weft_handle Assembly::part_among(std::vector<std::unique_ptr<Part>>& parts, const std::string& pointer, const Use& use,
                                 std::size_t index, bool is_ingredient) {
  for (const auto& part : parts) {
    if (part->pointer == pointer) return {part->component, part->instance};
  }
  expect_finished(pointer);
  auto part = std::unique_ptr<Part>(new Part{this, pointer, &use, use.manifest});
  part->is_ingredient = is_ingredient;
  create(*part, index);
  // A plugin may have asked for collaborators while it was created: they come before it.
  parts.push_back(std::move(part));
  return {parts.back()->component, parts.back()->instance};
}

void Assembly::create(Part& part, std::size_t index) {
  const Use& use = *part.use;
  part.component = &open_component(*use.manifest);
  expect_library(libraries_, *use.manifest);

  const std::string study_text = study_for(*use.manifest).dump();
  const std::string configuration = use.args.dump();
  const std::string folder = std::filesystem::absolute(use.manifest->file).parent_path().lexically_normal().string();
  weft_context context{};
  context.size = sizeof(context);
  context.configuration = detail::text(configuration);
  context.study = detail::text(study_text);
  const std::string stream =
      use.argument.empty() ? use.manifest->title() : use.manifest->title() + " of " + part.pointer;
  context.rng = Rng(pipeline_.seed()).derive(stream, index).state();
  context.host = &part;
  context.folder = detail::text(folder);
  context.log = [](void* host, std::int32_t level, weft_text message) {
    log_of(*static_cast<Part*>(host)->manifest, level, message);
  };
  context.collaborator = [](void* host, weft_text name, weft_handle* found, const weft_writer* error) {
    return detail::guard(error, [&] {
      Part& asking = *static_cast<Part*>(host);
      const std::optional<weft_handle> handle = asking.assembly->role(asking, detail::view(name));
      if (!handle) throw Error(fmt::format("the pipeline has no {}", detail::view(name)));
      *found = *handle;
    });
  };
  context.make = [](void* host, weft_text kind, weft_text use, weft_text around, weft_handle* made,
                    const weft_writer* error) {
    return detail::guard(error, [&] {
      const Part& asking = *static_cast<Part*>(host);
      *made = asking.assembly->ingredient(asking, detail::view(kind), detail::view(use), detail::view(around));
    });
  };
  share_plugins_with(context);
  context.release = [](void* host, weft_handle made) { static_cast<Part*>(host)->assembly->release(made); };
  detail::StringWriter error;
  const SignalsKept signals;
  try {
    const Unfinished unfinished(unfinished_, part);
    void* instance = nullptr;  // what a create that failed leaves there is none
    detail::check(part.component->create(&context, &instance, error), error);
    if (instance == nullptr) throw Error("create succeeded without an instance");
    part.instance = instance;
  } catch (const InvalidInput& invalid) {
    // A collaborator that was refused in the course of it has been named.
    if (std::string_view(invalid.what()).starts_with(pipeline_.file() + ": ")) throw;
    const std::string place =
        part.is_ingredient ? "" : pipeline_.file() + ": " + part.pointer;  // else told by who asks
    throw InvalidInput(fmt::format("{}/args{}{}", place, names_a_parameter(invalid.what(), *use.manifest) ? "" : ": ",
                                   invalid.what()));
  } catch (...) {
    rethrow_as_refusal(*use.manifest, "create");
  }
}

// Of another trial it is another one, made from the same stream.
weft_handle Assembly::ingredient(const Part& asking, std::string_view kind, std::string_view use,
                                 std::string_view around) {
  if (is_beside(*asking.manifest))
    throw Error(fmt::format("a {} works beside the search and makes no other plugins", asking.manifest->kind));
  auto part = std::unique_ptr<Part>(new Part{this, asking.pointer + "/args/" + std::string(kind)});
  part->own = pipeline_.ingredient(std::string(kind), detail::parse_json(detail::text(use)),
                                   detail::parse_json(detail::text(around)));
  part->own.argument = kind;
  part->use = &part->own;
  part->manifest = part->own.manifest;
  part->is_ingredient = true;
  expect_no_twin(*part);
  create(*part, 0);
  ingredients_.push_back(std::move(part));
  return {ingredients_.back()->component, ingredients_.back()->instance};
}

// One that asks for the like of itself would be created without end.
void Assembly::expect_no_twin(const Part& ingredient) const {
  for (const Part* part : unfinished_) {
    if (part->manifest == ingredient.manifest && part->use->args == ingredient.use->args)
      throw Error(fmt::format("{} asks for another {} with the same arguments while it is being created",
                              part->manifest->title(), part->manifest->title()));
  }
}

// It may give back some of its own in the course of it.
void Assembly::release(const weft_handle& ingredient) {
  const auto found = std::find_if(ingredients_.begin(), ingredients_.end(), [&](const auto& part) {
    return part->component == ingredient.component && part->instance == ingredient.instance;
  });
  if (found == ingredients_.end()) return;
  const std::unique_ptr<Part> released = std::move(*found);
  ingredients_.erase(found);
}

weft_handle Assembly::space_part() {
  return phase_ == Phase::final && pipeline_.final ? part("/final/space", pipeline_.final->space)
                                                   : part("/space", pipeline_.space);
}

SpaceRef Assembly::space() { return SpaceRef(space_part()); }
OptimizerRef Assembly::optimizer() { return OptimizerRef(part("/optimizer", pipeline_.optimizer)); }

EvaluatorRef Assembly::evaluator() {
  return EvaluatorRef(phase_ == Phase::final ? part("/final/evaluator", pipeline_.final->evaluator)
                                             : part("/evaluator", pipeline_.evaluator));
}

OneShotRef Assembly::oneshot() { return OneShotRef(part("/oneshot", *pipeline_.oneshot)); }

std::vector<ObjectiveRef> Assembly::objectives() {
  std::vector<ObjectiveRef> references;
  for (std::size_t i = 0; i < pipeline_.objectives.size(); ++i)
    references.emplace_back(part(fmt::format("/objectives/{}", i), pipeline_.objectives[i], i));
  return references;
}

std::vector<StopperRef> Assembly::stoppers() {
  std::vector<StopperRef> references;
  for (std::size_t i = 0; i < pipeline_.stoppers.size(); ++i)
    references.emplace_back(part(fmt::format("/stoppers/{}", i), pipeline_.stoppers[i], i));
  return references;
}

Json Assembly::task() {
  if (!pipeline_.dataset) return task_.is_null() ? Task{}.to_json() : task_;
  const weft_handle handle = part("/dataset", *pipeline_.dataset);
  const auto* table = static_cast<const weft_task_1*>(handle.component->find_interface(WEFT_TASK_1));
  if (table == nullptr) throw Error(fmt::format("{} does not describe its task", pipeline_.dataset->manifest->title()));
  detail::StringWriter out;
  detail::StringWriter error;
  detail::check(table->describe(handle.instance, out, error), error);
  task_ = detail::parse_json(out.text());
  return task_;
}

}  // namespace weft::host
