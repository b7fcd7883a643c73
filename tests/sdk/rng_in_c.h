/* The stream's C functions as a C compiler makes them, for tests that compare them with the C++ class. */
#ifndef WEFT_TESTS_RNG_IN_C_H
#define WEFT_TESTS_RNG_IN_C_H

#include "weft/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

uint64_t next_in_c(weft_rng* rng);
double uniform_in_c(weft_rng* rng);
uint64_t below_in_c(weft_rng* rng, uint64_t count);
weft_rng derive_in_c(const weft_rng* rng, weft_text name, uint64_t index);

#ifdef __cplusplus
}
#endif

#endif
