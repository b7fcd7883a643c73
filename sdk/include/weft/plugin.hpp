// The plugin author's last line: what a library offers.
//
//   WEFT_PLUGIN(weft::component<MyOptimizer>("my_optimizer"))
//
// The class derives from the kind's abstract class and is constructed from a `const weft::Context&`. The macro defines
// the one exported symbol, and a stamp in its own ELF section that repeats the tags, so that the host can refuse a
// library from its file, before any of its code runs.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "weft/abi.h"
#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"
#include "weft/evaluator.hpp"
#include "weft/objective.hpp"
#include "weft/oneshot.hpp"
#include "weft/operation_plugin.hpp"
#include "weft/optimizer.hpp"
#include "weft/predictor.hpp"
#include "weft/schedule.hpp"
#include "weft/space.hpp"
#include "weft/stopper.hpp"

#if defined(_LIBCPP_VERSION)
#define WEFT_LIBRARY_TAG "libc++"
#else
#define WEFT_LIBRARY_TAG "libstdc++-abi" WEFT_STRINGIZE(_GLIBCXX_USE_CXX11_ABI)
#endif
#define WEFT_BUILD_TAG WEFT_COMPILER_TAG "/" WEFT_LIBRARY_TAG

namespace weft::detail {

// The tables of a kind. Kinds of the torch tier specialise this in their own headers.
template <typename T, typename = void>
struct Tables;
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Space, T>>> : SpaceTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Optimizer, T>>> : OptimizerTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Evaluator, T>>> : EvaluatorTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Objective, T>>> : ObjectiveTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<OneShot, T>>> : OneShotTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Predictor, T>>> : PredictorTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Stopper, T>>> : StopperTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Schedule, T>>> : ScheduleTables<T> {};
template <typename T>
struct Tables<T, std::enable_if_t<std::is_base_of_v<Operation, T>>> : OperationTables<T> {};

// Of libweft_torch: it makes the modules of the operations that plugins add.
void adopt_modules(const weft_context& context);

// What a library learns of the host that it works for.
inline void adopt(const weft_context& context) {
  adopt_operations(context);
  if constexpr (sizeof(WEFT_TORCH_TAG) > 1) adopt_modules(context);
}

}  // namespace weft::detail

namespace weft {

// The C description of a component implemented by T. `name` has static storage.
template <typename T>
constexpr weft_component component(const char* name) {
  return {.size = sizeof(weft_component),
          .kind = T::kind,
          .name = name,
          .create =
              [](const weft_context* context, void** instance, const weft_writer* error) {
                return detail::guard(error, [&] {
                  detail::adopt(*context);
                  *instance = new T(Context(*context));
                });
              },
          .destroy = [](void* instance) { delete static_cast<T*>(instance); },
          .find_interface = [](const char* id) -> const void* { return detail::Tables<T>::find(id); }};
}

}  // namespace weft

#define WEFT_PLUGIN(...)                                                    \
  static constexpr weft_component weft_plugin_components[] = {__VA_ARGS__}; \
  WEFT_EXPORT_(WEFT_BUILD_TAG)
