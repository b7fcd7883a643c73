// The end of a text that may be without end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weft::host {

class Tail {
 public:
  static constexpr std::size_t longest = 1 << 16;  // bytes that are kept

  void append(std::string_view bytes);
  // What is kept, after a line that says how much is not.
  std::string text() const;
  bool empty() const { return kept_.empty(); }
  void clear();

 private:
  std::string kept_;  // up to twice as long, so that its beginning is seldom moved
  std::uint64_t dropped_ = 0;
};

}  // namespace weft::host
