// WEFT_SANITIZED where a sanitizer watches the memory, with an allocator of its own, and WEFT_ADDRESS_SANITIZED where
// it is the address sanitizer, which ends the process where malloc would refuse.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT_ADDRESS_SANITIZED 1
#elif __has_feature(thread_sanitizer)
#define WEFT_SANITIZED 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__) && !defined(WEFT_ADDRESS_SANITIZED)
#define WEFT_ADDRESS_SANITIZED 1
#endif
#if (defined(__SANITIZE_THREAD__) || defined(WEFT_ADDRESS_SANITIZED)) && !defined(WEFT_SANITIZED)
#define WEFT_SANITIZED 1
#endif
