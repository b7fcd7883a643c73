// What the ingredients of a recipe have in common that are objects of LibTorch's side: update rules, augmentations,
// initialisations, losses.
//
// A kind is an abstract class with `using IngredientKind` (itself), `kind` and `interface_id`. Its objects are never
// changed once they are made: whatever a training remembers lies outside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "weft/context.hpp"
#include "weft/detail/boundary.hpp"

namespace weft {

// The torch tier's own table: hands out the C++ object. Both sides were built with the same LibTorch and SDK (checked
// by the host from the tags), so the object may cross as it is.
template <typename Kind>
struct IngredientTable {
  std::uint64_t size;
  const Kind* (*get)(void* instance);
};

// The ingredient that `use` names, as a recipe does; see Ingredients::make. It lives as long as what is returned.
template <typename Kind>
std::shared_ptr<const Kind> ingredient(const Ingredients& ingredients, const Json& use,
                                       const Json& around = Json::object()) {
  const std::shared_ptr<const weft_handle> handle = ingredients.make(Kind::kind, use, around);
  const auto* table = static_cast<const IngredientTable<Kind>*>(handle->component->find_interface(Kind::interface_id));
  if (table == nullptr)
    throw Error(std::string(handle->component->name) + " has no " + Kind::interface_id + ": it is of another kind");
  return {handle, table->get(handle->instance)};
}

namespace detail {

template <typename T, typename>
struct Tables;
template <typename T>
struct Tables<T, std::void_t<typename T::IngredientKind>> {
  using Kind = typename T::IngredientKind;
  static constexpr IngredientTable<Kind> ingredient{sizeof(IngredientTable<Kind>),
                                                    [](void* instance) -> const Kind* { return &self<T>(instance); }};

  static const void* find(std::string_view id) { return id == Kind::interface_id ? &ingredient : nullptr; }
};

}  // namespace detail

}  // namespace weft
