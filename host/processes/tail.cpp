#include "host/processes/tail.hpp"

#include <fmt/format.h>

namespace weft::host {

void Tail::append(std::string_view bytes) {
  kept_ += bytes;
  if (kept_.size() <= 2 * longest) return;
  dropped_ += kept_.size() - longest;
  kept_.erase(0, kept_.size() - longest);
}

std::string Tail::text() const {
  const std::size_t from = kept_.size() > longest ? kept_.size() - longest : 0;
  if (dropped_ + from == 0) return kept_;
  return fmt::format("[{} bytes before this were not kept]\n{}", dropped_ + from, kept_.substr(from));
}

void Tail::clear() {
  kept_.clear();
  dropped_ = 0;
}

}  // namespace weft::host
