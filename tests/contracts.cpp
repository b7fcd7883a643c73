// Contract suites that many tests include, compiled once.
#define WEFT_CONTRACT_INLINE

#include "weft/testing/catch.hpp"
#include "weft/testing/space_contract.hpp"
