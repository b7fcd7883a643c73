// What every source of libweft_torch includes. `clang++` in C++20 needs ivalue.h first with LibTorch 1.13.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <torch/nn/module.h>

#include "weft/architecture.hpp"
