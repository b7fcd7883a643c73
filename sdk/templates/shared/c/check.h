/* CHECK(condition): counts what does not hold, and says where. A test's main() returns `failures`. */
#ifndef PLUGIN_CHECK_H
#define PLUGIN_CHECK_H

#include <stdio.h>
#include <string.h>

#include "weft/abi.h"

static int failures = 0;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      failures = 1;                                                           \
    }                                                                         \
  } while (0)

static void print_words(void* context, const char* data, uint64_t size) {
  (void)context;
  fprintf(stderr, "%.*s\n", (int)size, data);
}

static const weft_writer words = {NULL, print_words};

static inline weft_text text_of(const char* terminated) {
  const weft_text text = {terminated, strlen(terminated)};
  return text;
}

#endif
