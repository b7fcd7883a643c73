// Opens a built plugin and creates instances of its components, as the host does but without its checks: for tests.
#pragma once

#include <dlfcn.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "weft/abi.h"
#include "weft/detail/boundary.hpp"
#include "weft/json.hpp"
#include "weft/rng.hpp"

namespace weft::testing {

// A component and its manifest; by kind and name it is found under `WEFT_TEST_PLUGINS/<kind>/<name>`, or, where a
// library has several components, by the file of its manifest. Stays open for the process's life.
struct Plugin {
  const weft_component* component = nullptr;
  Json manifest;
  std::string folder = {};  // of the manifest, absolute

#ifdef WEFT_TEST_PLUGINS
  static Plugin open(const std::string& kind, const std::string& name) {
    return open(std::filesystem::path(WEFT_TEST_PLUGINS) / kind / name / "manifest.json");
  }
#endif

  static Plugin open(const std::filesystem::path& manifest) {
    std::ifstream file(manifest);
    if (!file) throw std::runtime_error("no manifest " + manifest.string());
    Plugin plugin{nullptr, Json::parse(file), std::filesystem::absolute(manifest).parent_path().string()};
    const std::string kind = plugin.manifest.at("kind");
    const std::string name = plugin.manifest.at("name");
    const std::filesystem::path path = manifest.parent_path() / plugin.manifest.at("library").get<std::string>();
    void* library = dlopen(std::filesystem::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto* descriptor = static_cast<const weft_descriptor*>(dlsym(library, "weft_plugin"));
    if (descriptor == nullptr) throw std::runtime_error(path.string() + " exports no descriptor");
    for (std::uint64_t i = 0; i < descriptor->component_count; ++i) {
      const auto* at = reinterpret_cast<const char*>(descriptor->components) + i * descriptor->component_stride;
      const auto* component = reinterpret_cast<const weft_component*>(at);
      if (component->kind == kind && component->name == name) plugin.component = component;
    }
    if (plugin.component == nullptr)
      throw std::runtime_error(path.string() + " has no component of that kind and name");
    return plugin;
  }

  // `args` over the defaults of the manifest's `parameters`.
  Json configuration(const Json& args) const {
    Json full = Json::object();
    const Json properties = manifest.at("parameters").value("properties", Json::object());
    for (const auto& [key, schema] : properties.items()) {
      if (schema.contains("default")) full[key] = schema.at("default");
    }
    for (const auto& [key, value] : args.items()) full[key] = value;
    return full;
  }
};

// What an instance is created with, besides its own configuration.
struct Surroundings {
  Json study = Json::object();
  Rng rng{1};
  std::map<std::string, weft_handle> collaborators = {};
  std::vector<std::string> log = {};  // what the instance says, one line each
};

// An instance of a component; destroyed with this object.
class Instance {
 public:
  Instance(const weft_component& component, const Json& configuration, Surroundings surroundings = {},
           const std::string& folder = {})
      : component_(&component), surroundings_(std::make_unique<Surroundings>(std::move(surroundings))) {
    const std::string configuration_text = configuration.dump();
    const std::string study_text = surroundings_->study.dump();
    weft_context context{};
    context.size = sizeof(context);
    context.configuration = detail::text(configuration_text);
    context.study = detail::text(study_text);
    context.rng = surroundings_->rng.state();
    context.folder = detail::text(folder);
    context.host = surroundings_.get();
    context.log = [](void* host, std::int32_t, weft_text message) {
      static_cast<Surroundings*>(host)->log.emplace_back(detail::view(message));
    };
    context.collaborator = [](void* host, weft_text role, weft_handle* found, const weft_writer* error) {
      return detail::guard(error, [&] {
        const auto& known = static_cast<Surroundings*>(host)->collaborators;
        const auto at = known.find(std::string(detail::view(role)));
        if (at == known.end()) throw Error("there is no " + std::string(detail::view(role)) + " here");
        *found = at->second;
      });
    };
    detail::StringWriter error;
    detail::check(component.create(&context, &instance_, error), error);
    if (instance_ == nullptr) throw Error("create succeeded without an instance");
  }
  Instance(const Plugin& plugin, const Json& args, Surroundings surroundings = {})
      : Instance(*plugin.component, plugin.configuration(args), std::move(surroundings), plugin.folder) {}
  ~Instance() {
    if (instance_ != nullptr) component_->destroy(instance_);
  }
  Instance(Instance&& other) noexcept
      : component_(other.component_),
        surroundings_(std::move(other.surroundings_)),
        instance_(std::exchange(other.instance_, nullptr)) {}
  Instance& operator=(Instance&&) = delete;

  weft_handle handle() const { return {component_, instance_}; }
  const std::vector<std::string>& log() const { return surroundings_->log; }

 private:
  const weft_component* component_;
  std::unique_ptr<Surroundings> surroundings_;
  void* instance_ = nullptr;
};

#ifdef WEFT_TEST_PLUGINS
// Instances of the plugins that arguments of another one name, such as a sampler, among the same surroundings.
class Nested {
 public:
  Nested(const Plugin& plugin, const Json& args, const Surroundings& surroundings) {
    const Json configuration = plugin.configuration(args);
    const Json properties = plugin.manifest.at("parameters").value("properties", Json::object());
    for (const auto& [argument, schema] : properties.items()) {
      if (!schema.contains("plugin") || !configuration.contains(argument)) continue;
      const Json& use = configuration.at(argument);
      const Plugin inner = Plugin::open(schema.at("plugin").get<std::string>(), use.at("name").get<std::string>());
      const Json inner_args = use.value("args", Json::object());
      inner_.push_back(std::make_unique<Nested>(inner, inner_args, surroundings));
      Surroundings own = surroundings;
      own.rng = surroundings.rng.derive(argument);
      for (const auto& [role, handle] : inner_.back()->collaborators()) own.collaborators[role] = handle;
      instances_.push_back(std::make_unique<Instance>(inner, inner_args, std::move(own)));
      collaborators_["/" + argument] = instances_.back()->handle();
    }
  }
  // By the role in which they are asked for: "/sampler".
  const std::map<std::string, weft_handle>& collaborators() const { return collaborators_; }

 private:
  std::vector<std::unique_ptr<Nested>> inner_;
  std::vector<std::unique_ptr<Instance>> instances_;
  std::map<std::string, weft_handle> collaborators_;
};
#endif

// `given` with the plugins that arguments name.
class Company {
 public:
  Company(const Plugin& plugin, const Json& args, Surroundings given) : surroundings_(std::move(given)) {
#ifdef WEFT_TEST_PLUGINS
    nested_ = std::make_unique<Nested>(plugin, args, surroundings_);
    for (const auto& [role, handle] : nested_->collaborators()) surroundings_.collaborators[role] = handle;
#else
    static_cast<void>(plugin), static_cast<void>(args);
#endif
  }
  const Surroundings& surroundings() const { return surroundings_; }

 private:
  Surroundings surroundings_;
#ifdef WEFT_TEST_PLUGINS
  std::unique_ptr<Nested> nested_;
#endif
};

}  // namespace weft::testing
