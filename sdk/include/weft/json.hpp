// The JSON type of the C++ layer. It is compiled into each side of the boundary; only its text crosses.
//
// The SDK is header-only. Where WEFT_COMPILED_SDK is defined, what is slow to compile is declared alone and comes from
// a library, sdk/src/compiled.cpp: this tree's own build does so, which makes it a third shorter.
#pragma once

#include <nlohmann/json.hpp>

#if !defined(WEFT_COMPILED_SDK)
#define WEFT_INLINE inline
#elif defined(WEFT_SDK_SOURCE)
#define WEFT_INLINE
#else
#define WEFT_DECLARED_ONLY
extern template class nlohmann::basic_json<>;
#endif

namespace weft {

using Json = nlohmann::json;

}  // namespace weft
