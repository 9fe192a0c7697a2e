// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/factorization_checks.hpp>
#include <accrete/factor/cholesky_qr.hpp>

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

// Singular values and truncation of u vᵀ from its factors, in O((m + n) k² + k³) and without an
// m x n matrix: with u = Qu Ru, v = Qv Rv and the small SVD Ru Rvᵀ = A S Bᵀ, the SVD of the product
// is (Qu A) S (Qv B)ᵀ. Forming Gram matrices would be cheaper, but loses every singular value below
// sqrt(epsilon) times the largest.
namespace detail {

/// u vᵀ = (left's orthonormal part a) diag(values) (right's b)ᵀ; all in the caller's frame, but
/// that a q may be u or v itself.
template <class Scalar, class Backend>
struct FactorSVD {
  QrFactors<Scalar, Backend> left;
  QrFactors<Scalar, Backend> right;
  ViewOn<Scalar, Backend> a;
  ViewOn<Scalar, Backend> b;
  std::vector<double> values;
};

/// A factor with fewer rows than columns is its own `r`, and the orthonormal part the identity:
/// there is no q.
template <class Backend, class Scalar, class Frame>
QrFactors<Scalar, Backend> orthogonal_factor(Device<Backend>& device, Frame& frame,
                                             ViewOn<const Scalar, Backend> factor) {
  if (factor.rows < factor.cols) {
    return {{}, {}, factor};
  }
  QrFactors<Scalar, Backend> result;
  if (cholesky_is_faster(factor) && cholesky_qr2<Backend, Scalar>(device, frame, factor, result)) {
    return result;
  }
  const auto q = temporary<Scalar>(frame, factor.rows, factor.cols);
  const auto r = temporary<Scalar>(frame, factor.cols, factor.cols);
  thin_qr_into<Backend, Scalar>(device, factor, q, r, QrMethod::householder);
  return {q, {}, r};
}

/// target = factor's orthonormal part * small; the target does not overlap what was factorised.
template <class Backend, class Scalar>
void expand(Device<Backend>& device, const QrFactors<Scalar, Backend>& factor,
            ViewOn<const Scalar, Backend> small, ViewOn<Scalar, Backend> target) {
  if (factor.q.data == nullptr) {
    copy_into<Backend, Scalar>(device, small, target);
  } else if (factor.r_inverse.data == nullptr) {
    multiply<Backend, Scalar>(device, factor.q, small, target);
  } else {
    Frame<Backend> frame(device.workspace());
    const auto weights = temporary<Scalar>(frame, small.rows, small.cols);
    multiply<Backend, Scalar>(device, factor.r_inverse, small, weights);
    multiply<Backend, Scalar>(device, factor.q, weights, target);
  }
}

/// @throws ShapeError when the factors have different numbers of columns, NumericError on NaN or
/// infinity.
template <class Backend, class Scalar>
void check_factors(Device<Backend>& device, const char* operation, ViewOn<const Scalar, Backend> u,
                   ViewOn<const Scalar, Backend> v) {
  if (u.cols != v.cols) {
    ACCRETE_THROW ShapeError(std::string(operation) + ": U is " + shape_text(u.rows, u.cols) +
                             " and V is " + shape_text(v.rows, v.cols) +
                             "; both need the same number of columns");
  }
  if (!Kernels<Backend>::all_finite(device, u)) {
    throw_not_finite(std::string(operation) + " of U Vᵀ, U", u.rows, u.cols);
  }
  if (!Kernels<Backend>::all_finite(device, v)) {
    throw_not_finite(std::string(operation) + " of U Vᵀ, V", v.rows, v.cols);
  }
}

/// The thin SVD of u vᵀ in factored form; `with_vectors` false leaves a and b empty.
template <class Backend, class Scalar, class Frame>
FactorSVD<Scalar, Backend> factor_svd(Device<Backend>& device, Frame& frame,
                                      ViewOn<const Scalar, Backend> u,
                                      ViewOn<const Scalar, Backend> v, bool with_vectors) {
  FactorSVD<Scalar, Backend> svd;
  svd.left = orthogonal_factor(device, frame, u);
  svd.right = orthogonal_factor(device, frame, v);
  const Index rows = svd.left.r.rows;
  const Index cols = svd.right.r.rows;
  const Index count = (std::min)(rows, cols);
  const auto core = temporary<Scalar>(frame, rows, cols);
  const auto values = temporary<Scalar>(frame, count, 1);
  multiply(device, svd.left.r, svd.right.r.transposed(), core);
  if (with_vectors) {
    svd.a = temporary<Scalar>(frame, rows, count);
    svd.b = temporary<Scalar>(frame, cols, count);
  }
  Kernels<Backend>::svd(device, core.as_const(), svd.a, values, svd.b);
  std::vector<Scalar> host(static_cast<std::size_t>(count));
  Kernels<Backend>::download(device, values.as_const(), host.data());
  svd.values.assign(host.begin(), host.end());
  return svd;
}

} // namespace detail

ACCRETE_END_NAMESPACE
