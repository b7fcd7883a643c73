#pragma once

#include "weft/testing/catch.hpp"  // IWYU pragma: export
