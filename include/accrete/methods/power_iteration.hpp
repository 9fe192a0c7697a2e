// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/start.hpp>

#include <cmath>
#include <cstdint>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The spectral norm of a factor that changes little from call to call: one step of the power
/// iteration for each, from the vector where the last one ended. Never above the norm.
template <class Scalar, class Backend>
class PowerIteration {
 public:
  PowerIteration(Index columns, std::uint64_t seed)
      : vector_(normal_matrix<Scalar, Backend>(columns, 1, 1.0, seed)) {}

  /// ‖Aᵀ w‖ / ‖w‖ with w = A q; q becomes Aᵀ w, normalised. 4 m k FLOPs; waits for the device.
  [[nodiscard]] double norm(ViewOn<const Scalar, Backend> a) {
    using K = Kernels<Backend>;
    auto& device = Context<Backend>::current().device();
    Frame<Backend> frame(device.workspace());
    const auto w = temporary<Scalar>(frame, a.rows, 1);
    K::gemv(device, Scalar{1}, a, view_of(vector_).as_const(), Scalar{0}, w);
    const double length = std::sqrt(K::squared_norm(device, w.as_const()));
    if (!(length > 0)) {
      return length; // of a zero factor; the vector stays
    }
    const ViewOn<Scalar, Backend> q = view_of(vector_);
    K::gemv(device, static_cast<Scalar>(1 / length), a.transposed(), w.as_const(), Scalar{0}, q);
    const double result = std::sqrt(K::squared_norm(device, q.as_const()));
    K::combine(device, static_cast<Scalar>(1 / result), q.as_const(), Scalar{0}, q);
    return result;
  }

  void visit_state(const std::string& name, StateVisitor<Scalar, Backend>& visitor) {
    visitor.tensor(name, view_of(vector_));
  }

 private:
  Matrix<Scalar, Backend> vector_; // q
};

} // namespace detail

ACCRETE_END_NAMESPACE
