// Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
// networks": the orthogonal factor of a matrix of normal numbers, whose signs make it uniform.

#include <ATen/ATen.h>

#include "weft/plugin.hpp"
#include "weft/torch/initialisation.hpp"

namespace {

class Orthogonal final : public weft::Initialisation {
 public:
  explicit Orthogonal(const weft::Context& context) : gain_(context.get<double>("gain")) {}

  // Of the matrix [outputs, all else].
  void weight(at::Tensor& weight, Fan, const at::Generator& generator) const override {
    const std::int64_t rows = weight.size(0), columns = weight.numel() / rows;
    at::Tensor tall = at::empty({std::max(rows, columns), std::min(rows, columns)}).normal_(0.0, 1.0, generator);
    auto [q, r] = at::linalg_qr(tall);
    q = q * r.diagonal().sign();
    weight.copy_(gain_ * (rows < columns ? q.t() : q).reshape(weight.sizes()));
  }

 private:
  double gain_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Orthogonal>("orthogonal"))
