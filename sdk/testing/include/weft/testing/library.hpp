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
#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/json.hpp"
#include "weft/operation_plugin.hpp"
#include "weft/rng.hpp"

namespace weft::testing {

// Where plugins are that are looked for by kind and name: "kind/name" -> manifest. Others are under WEFT_TEST_PLUGINS,
// where that is defined.
inline std::map<std::string, std::filesystem::path>& known_plugins() {
  static std::map<std::string, std::filesystem::path> known;
  return known;
}

// A component and its manifest; by kind and name it is found among known_plugins() or as
// `WEFT_TEST_PLUGINS/<kind>/<name>`, or, where a library has several components, by the file of its manifest. Stays
// open for the process's life.
struct Plugin {
  const weft_component* component = nullptr;
  Json manifest;
  std::string folder = {};  // of the manifest, absolute

  static Plugin open(const std::string& kind, const std::string& name) {
    const auto known = known_plugins().find(kind + "/" + name);
    if (known != known_plugins().end()) return open(known->second);
#ifdef WEFT_TEST_PLUGINS
    return open(std::filesystem::path(WEFT_TEST_PLUGINS) / kind / name / "manifest.json");
#else
    throw InvalidInput("no " + kind + " is called \"" + name + "\"");
#endif
  }

  static Plugin open(const std::filesystem::path& manifest) {
    std::ifstream file(manifest);
    if (!file) throw std::runtime_error("no manifest " + manifest.string());
    Plugin plugin{nullptr, Json::parse(file), std::filesystem::absolute(manifest).parent_path().string()};
    plugin.refer();
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

  // The properties of the schema beside the manifest that its parameters refer to, under their own.
  void refer() {
    Json& parameters = manifest["parameters"];
    if (!parameters.contains("$ref")) return;
    std::ifstream file(std::filesystem::path(folder) / parameters.at("$ref").get<std::string>());
    Json properties = Json::parse(file).at("properties");
    const Json own = parameters.value("properties", Json::object());
    for (const auto& [name, property] : own.items()) {
      if (property == false) properties.erase(name);
      if (property != false) properties[name].merge_patch(property);
    }
    parameters["properties"] = properties;
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

class Instance;

// The operation or module of that name, one for the process. Throws InvalidInput where there is none.
weft_handle shared_plugin(const std::string& kind, const std::string& name);

inline weft_status shared_plugin_of(weft_text kind, weft_text name, weft_handle* found, const weft_writer* error) {
  return detail::guard(
      error, [&] { *found = shared_plugin(std::string(detail::view(kind)), std::string(detail::view(name))); });
}

// The host as one instance sees it.
class Host {
 public:
  explicit Host(Surroundings surroundings) : surroundings_(std::move(surroundings)) {}

  // Of this host; its texts are to be set.
  weft_context context() {
    weft_context context{};
    context.size = sizeof(context);
    context.rng = surroundings_.rng.state();
    context.host = this;
    context.log = [](void* host, std::int32_t, weft_text message) {
      static_cast<Host*>(host)->surroundings_.log.emplace_back(detail::view(message));
    };
    context.collaborator = [](void* host, weft_text role, weft_handle* found, const weft_writer* error) {
      return detail::guard(error, [&] {
        const auto& known = static_cast<Host*>(host)->surroundings_.collaborators;
        const auto at = known.find(std::string(detail::view(role)));
        if (at == known.end()) throw Error("there is no " + std::string(detail::view(role)) + " here");
        *found = at->second;
      });
    };
    context.make = [](void* host, weft_text kind, weft_text use, weft_text around, weft_handle* made,
                      const weft_writer* error) {
      return detail::guard(error, [&] {
        *made = static_cast<Host*>(host)->make(std::string(detail::view(kind)), detail::parse_json(use),
                                               detail::parse_json(around));
      });
    };
    context.release = [](void* host, weft_handle made) { static_cast<Host*>(host)->release(made); };
    context.shared = shared_plugin_of;
    return context;
  }

  const Surroundings& surroundings() const { return surroundings_; }

 private:
  weft_handle make(const std::string& kind, const Json& use, const Json& around);
  void release(const weft_handle& made);

  Surroundings surroundings_;
  std::vector<std::unique_ptr<Instance>> made_;
};

// An instance of a component; destroyed with this object.
class Instance {
 public:
  Instance(const weft_component& component, const Json& configuration, Surroundings surroundings = {},
           const std::string& folder = {})
      : component_(&component), host_(std::make_unique<Host>(std::move(surroundings))) {
    const std::string configuration_text = configuration.dump();
    const std::string study_text = host_->surroundings().study.dump();
    weft_context context = host_->context();
    context.configuration = detail::text(configuration_text);
    context.study = detail::text(study_text);
    context.folder = detail::text(folder);
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
        host_(std::move(other.host_)),
        instance_(std::exchange(other.instance_, nullptr)) {}
  Instance& operator=(Instance&&) = delete;

  weft_handle handle() const { return {component_, instance_}; }
  const std::vector<std::string>& log() const { return host_->surroundings().log; }

 private:
  const weft_component* component_;
  std::unique_ptr<Host> host_;
  void* instance_ = nullptr;
};

inline weft_handle Host::make(const std::string& kind, const Json& use, const Json& around) {
  const Plugin plugin =
      Plugin::open(kind, use.is_string() ? use.get<std::string>() : use.at("name").get<std::string>());
  Json args = use.is_string() ? Json::object() : use.value("args", Json::object());
  if (use.is_string()) {
    for (const auto& [name, schema] : plugin.manifest.at("parameters").at("properties").items()) {
      if (around.contains(name)) args[name] = around.at(name);
    }
  }
  made_.push_back(std::make_unique<Instance>(plugin, args, surroundings_));
  return made_.back()->handle();
}

inline void Host::release(const weft_handle& made) {
  std::erase_if(made_, [&](const auto& instance) {
    return instance->handle().component == made.component && instance->handle().instance == made.instance;
  });
}

inline weft_handle shared_plugin(const std::string& kind, const std::string& name) {
  static auto* const instances = new std::map<std::string, std::unique_ptr<Instance>>;
  std::unique_ptr<Instance>& instance = (*instances)[kind + "/" + name];
  if (!instance) {
    try {
      instance = std::make_unique<Instance>(Plugin::open(kind, name), Json::object());
    } catch (const std::runtime_error& error) {
      throw InvalidInput("no " + kind + " is called \"" + name + "\": " + error.what());
    }
  }
  return instance->handle();
}

// From here on, graphs that this program itself reads may have operations of plugins.
inline void know_operations_of_plugins() {
  weft_context context{};
  context.size = sizeof(context);
  context.shared = shared_plugin_of;
  detail::adopt_operations(context);
}

// The object of LibTorch's side that an ingredient of this kind is; it lives as long as what is returned.
template <typename Kind>
std::shared_ptr<const Kind> ingredient_of(const Plugin& plugin, const Json& args = Json::object(),
                                          const Surroundings& surroundings = {}) {
  const auto instance = std::make_shared<Instance>(plugin, args, surroundings);
  struct Table {
    std::uint64_t size;
    const Kind* (*get)(void* instance);
  };
  const weft_handle handle = instance->handle();
  const auto* table = static_cast<const Table*>(handle.component->find_interface(Kind::interface_id));
  if (table == nullptr) throw Error(std::string(handle.component->name) + " has no " + Kind::interface_id);
  return {instance, table->get(handle.instance)};
}

// Makes the built plugins that a recipe names, without a study around them; they live as long as the process.
inline Ingredients ingredients() {
  static Host* const host = new Host({});
  return Ingredients(host->context());
}

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
