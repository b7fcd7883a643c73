#include "tests/sdk/rng_in_c.h"

uint64_t next_in_c(weft_rng* rng) { return weft_rng_next(rng); }
double uniform_in_c(weft_rng* rng) { return weft_rng_uniform(rng); }
uint64_t below_in_c(weft_rng* rng, uint64_t count) { return weft_rng_below(rng, count); }
weft_rng derive_in_c(const weft_rng* rng, weft_text name, uint64_t index) { return weft_rng_derive(rng, name, index); }
