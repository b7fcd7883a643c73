// Memory in which vectors do not cross lines of the cache.
#pragma once

#include <boost/align/aligned_allocator.hpp>
#include <vector>

namespace weft::kernels {

template <typename T>
using Aligned = std::vector<T, boost::alignment::aligned_allocator<T, 64>>;

}  // namespace weft::kernels
