#include "weft/torch/fingerprint.hpp"

#include <ATen/ATen.h>
#include <sys/types.h>

#include <array>
#include <bit>
#include <cstdint>

// sha2.h needs <sys/types.h> before it.
// clang-format off
#include <sha2.h>
// clang-format on

namespace weft {

namespace {

static_assert(std::endian::native == std::endian::little, "elements are hashed as they lie in memory");

class Sha256 {
 public:
  Sha256() { SHA256Init(&state_); }
  void add(const void* data, std::size_t size) { SHA256Update(&state_, static_cast<const std::uint8_t*>(data), size); }
  void add(std::int64_t number) { add(&number, sizeof(number)); }
  std::string digest() {
    std::array<std::uint8_t, SHA256_DIGEST_LENGTH> bytes{};
    SHA256Final(bytes.data(), &state_);
    std::string text;
    for (const std::uint8_t byte : bytes) {
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
    }
    return text;
  }

 private:
  SHA2_CTX state_{};
};

}  // namespace

std::string fingerprint(std::span<const std::string> names, std::span<const at::Tensor> tensors) {
  Sha256 hash;
  hash.add(static_cast<std::int64_t>(names.size()));
  for (const std::string& name : names) {
    hash.add(static_cast<std::int64_t>(name.size()));
    hash.add(name.data(), name.size());
  }
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor rows = tensor.contiguous();
    hash.add(rows.dim());
    for (const std::int64_t extent : rows.sizes()) hash.add(extent);
    hash.add(rows.data_ptr(), rows.nbytes());
  }
  return hash.digest();
}

}  // namespace weft
