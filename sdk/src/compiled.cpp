// What the SDK's headers only declare where WEFT_COMPILED_SDK is defined.
#define WEFT_SDK_SOURCE

#include "weft/plugin.hpp"
#include "weft/recipe_space.hpp"

template class nlohmann::basic_json<>;
