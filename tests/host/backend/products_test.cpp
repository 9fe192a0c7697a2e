// SPDX-License-Identifier: MIT
// What has no counterpart in the memory of a device: addresses without memory behind them.
#include "sparse_operand.hpp"
#include "test_backend.hpp"

#include <algorithm>
#include <array>

using accrete::Index;
using accrete::View;

namespace {

using Table = accrete::Kernels<TestBackend>;

/// c = 2 a b + 3 c with operands whose leading dimensions are large where `sparse` has a bit, and
/// row-major where `orders` has one. False where the system has no memory of that kind.
template <class Scalar>
bool check_large_strides(const std::array<Index, 3>& shape, Index stride, int sparse, int orders) {
  const auto [m, k, n] = shape;
  const auto step = [&](int bit, Index length) {
    return (sparse & bit) != 0 ? stride : length + 3;
  };
  const auto is_row_major = [&](int bit) { return (orders & bit) != 0; };
  accrete::Device<TestBackend> device;
  const SparseOperand<Scalar> a(m, k, step(1, std::max(m, k)), is_row_major(1), 1);
  const SparseOperand<Scalar> b(k, n, step(2, std::max(k, n)), is_row_major(2), 2);
  const SparseOperand<Scalar> c(m, n, step(4, std::max(m, n)), is_row_major(4), 3);
  if (a.view.data == nullptr || b.view.data == nullptr || c.view.data == nullptr) {
    return false;
  }
  const Exact expected = 2 * a.value() * b.value() + 3 * c.value();
  const long double norms = 2 * a.value().norm() * b.value().norm() + 3 * c.value().norm();
  Table::gemm(device, Scalar{2}, View<const Scalar>(a.view), View<const Scalar>(b.view), Scalar{3},
              c.view);
  CAPTURE(stride);
  CAPTURE(sparse);
  CAPTURE(orders);
  CHECK_CLOSE(c.value(), expected, rounding_bound<Scalar>(k + 3, norms));
  return true;
}

} // namespace

TEST_CASE_TEMPLATE("sizes and leading dimensions may be beyond 32 bits", Scalar, float, double) {
  // With the first, a BLAS of 32-bit integers sees a leading dimension of 64 entries, with the
  // second a negative one. The shapes go to the library, to inner and outer products and to gemv.
  constexpr Index strides[] = {(Index{1} << 32) + 64, (Index{1} << 31) + 64};
  constexpr std::array<Index, 3> some[] = {{64, 40, 40}, {64, 2, 40}, {70, 300, 3},
                                           {3, 530, 41}, {64, 40, 1}, {1, 40, 64}};
  for (const auto& shape : some) {
    for (int bit = 0; bit < 6; ++bit) {
      const int sparse = 1 << (bit / 2);
      if (!check_large_strides<Scalar>(shape, strides[bit % 2], sparse, 0) ||
          !check_large_strides<Scalar>(shape, strides[bit % 2], sparse, sparse)) {
        MESSAGE("skipped: the system reserves no such range of addresses");
        return;
      }
    }
  }
}
