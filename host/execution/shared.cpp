#include "host/execution/shared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "host/execution/calls.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/library.hpp"
#include "host/processes/signals.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/operation_plugin.hpp"

namespace weft::host {

namespace {

// Rules come without a study: no arguments, no collaborators, and no randomness of their own.
weft_handle made(const Manifest& manifest) {
  const weft_component& component = open_component(manifest);
  const std::string folder = std::filesystem::absolute(manifest.file).parent_path().lexically_normal().string();
  weft_context context{};
  context.size = sizeof(context);
  context.configuration = context.study = detail::text("{}");
  context.rng = Rng(0).derive(manifest.title()).state();
  context.folder = detail::text(folder);
  context.host = const_cast<Manifest*>(&manifest);
  context.log = [](void* host, std::int32_t level, weft_text message) {
    log_of(*static_cast<const Manifest*>(host), level, message);
  };
  context.collaborator = [](void* host, weft_text name, weft_handle*, const weft_writer* error) {
    return detail::guard(error, [&] {
      throw Error(fmt::format("{} serves a whole process, and has no {}", static_cast<const Manifest*>(host)->title(),
                              detail::view(name)));
    });
  };
  share_plugins_with(context);
  weft_handle handle{&component, nullptr};
  detail::StringWriter error;
  const SignalsKept signals;
  try {
    detail::check(component.create(&context, &handle.instance, error), error);
    if (handle.instance == nullptr) throw Error("create succeeded without an instance");
  } catch (...) {
    rethrow_as_refusal(manifest, "create");
  }
  return handle;
}

struct Shared {
  std::recursive_mutex mutex;  // one may ask for another while it is made
  const Catalogue* catalogue = nullptr;
  Json libraries;                              // that the study began with
  std::map<std::string, weft_handle> handles;  // by the manifest's file
  std::vector<const Manifest*> unfinished;     // in the order in which they were asked for

  static Shared& here() {
    static Shared shared;
    return shared;
  }
};

void expect_finished(const std::vector<const Manifest*>& unfinished, const Manifest& manifest) {
  if (std::find(unfinished.begin(), unfinished.end(), &manifest) == unfinished.end()) return;
  throw Error(fmt::format("{} asks for {} while that is being created; a plugin may ask only for what does not need it",
                          unfinished.back()->title(), manifest.title()));
}

}  // namespace

void share_plugins_of(const Catalogue& catalogue, const Json& libraries) {
  Shared& shared = Shared::here();
  {
    const std::lock_guard lock(shared.mutex);
    shared.catalogue = &catalogue;
    shared.libraries = libraries;
  }
  weft_context context{};
  context.size = sizeof(context);
  share_plugins_with(context);
  detail::adopt_operations(context);
}

weft_handle shared_plugin(const std::string& kind, const std::string& name) {
  if (kind != "operation" && kind != "module")
    throw Error(fmt::format("a {} cannot be shared; must be an operation or a module, which are rules alone", kind));
  Shared& shared = Shared::here();
  const std::lock_guard lock(shared.mutex);
  if (shared.catalogue == nullptr) throw InvalidInput(fmt::format("no {} is called \"{}\"", kind, name));
  const std::vector<std::string> known = shared.catalogue->names(kind);
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    if (const Catalogue::Broken* broken = shared.catalogue->broken_one(name))
      throw Error(
          fmt::format("the {} \"{}\" is installed, but its manifest is broken:\n{}", kind, name, broken->error));
  }
  const Manifest& manifest = shared.catalogue->find(kind, name, "the graph");
  const auto found = shared.handles.find(manifest.file.string());
  if (found != shared.handles.end()) return found->second;
  expect_finished(shared.unfinished, manifest);
  expect_library(shared.libraries, manifest);
  shared.unfinished.push_back(&manifest);
  try {
    const weft_handle handle = made(manifest);
    shared.unfinished.pop_back();
    return shared.handles.emplace(manifest.file.string(), handle).first->second;
  } catch (...) {
    shared.unfinished.pop_back();
    throw;
  }
}

void share_plugins_with(weft_context& context) {
  context.shared = [](weft_text kind, weft_text name, weft_handle* found, const weft_writer* error) {
    return detail::guard(
        error, [&] { *found = shared_plugin(std::string(detail::view(kind)), std::string(detail::view(name))); });
  };
}

}  // namespace weft::host
