// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/error.hpp>
#include <accrete/finite.hpp>
#include <accrete/number_text.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

/// Values of the columns by which U (m x r) and V (n x r) grow.
///
/// An initializer is called as `initializer(device, u, v, first)` and fills the columns from
/// `first` on. One of the two factors becomes zero there, so that U Vᵀ stays what it was, and the
/// other does not, so that a gradient reaches the new columns: with both zero neither would ever
/// move. The seed is mixed with `first`, so that successive growths differ.
namespace init {

namespace detail {

inline void require_usable(const char* name, double value) {
  if (!accrete::detail::is_finite(value) || value == 0) {
    ACCRETE_THROW ArgumentError(
        std::string("init::") + name + ": " + accrete::detail::number_text(value) +
        " must be finite and not zero, or the new columns could never move");
  }
}

inline std::uint64_t seed_at(std::uint64_t seed, Index first) noexcept {
  return seed + 0x9E3779B97F4A7C15ULL * (static_cast<std::uint64_t>(first) + 1);
}

template <class Scalar, class Space>
View<Scalar, Space> new_columns(const View<Scalar, Space>& factor, Index first) noexcept {
  return factor.columns(first, factor.cols - first);
}

/// Uniform with bound 1 / sqrt(rows), torch's default for a linear layer with `rows` inputs.
template <class Backend, class Scalar>
void fill_kaiming(Device<Backend>& device, std::uint64_t seed, ViewOn<Scalar, Backend> columns) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(std::max<Index>(columns.rows, 1)));
  Kernels<Backend>::fill_uniform(device, seed, -bound, bound, columns);
}

} // namespace detail

class Zero {
 public:
  explicit Zero(std::uint64_t seed) : seed_(seed) {}

  template <class Backend, class Scalar>
  void operator()(Device<Backend>& device, ViewOn<Scalar, Backend> u, ViewOn<Scalar, Backend> v,
                  Index first) const {
    Kernels<Backend>::fill(device, Scalar{0}, detail::new_columns(u, first));
    detail::fill_kaiming(device, detail::seed_at(seed_, first), detail::new_columns(v, first));
  }

 private:
  std::uint64_t seed_;
};

/// New columns of U zero, those of V uniform in ±1/sqrt(n): the start of LoRA (Hu et al., ICLR
/// 2022), where V is "A" and U is "B".
[[nodiscard]] inline Zero zero(std::uint64_t seed = 0) { return Zero(seed); }

class Normal {
 public:
  Normal(double stddev, std::uint64_t seed) : stddev_(stddev), seed_(seed) {
    detail::require_usable("normal", stddev);
  }

  template <class Backend, class Scalar>
  void operator()(Device<Backend>& device, ViewOn<Scalar, Backend> u, ViewOn<Scalar, Backend> v,
                  Index first) const {
    Kernels<Backend>::fill_normal(device, detail::seed_at(seed_, first), stddev_,
                                  detail::new_columns(u, first));
    Kernels<Backend>::fill(device, Scalar{0}, detail::new_columns(v, first));
  }

 private:
  double stddev_;
  std::uint64_t seed_;
};

/// New columns of U normal with the given standard deviation, those of V zero.
/// @throws ArgumentError for a zero or non-finite deviation.
[[nodiscard]] inline Normal normal(double stddev, std::uint64_t seed = 0) { return {stddev, seed}; }

class Kaiming {
 public:
  explicit Kaiming(std::uint64_t seed) : seed_(seed) {}

  template <class Backend, class Scalar>
  void operator()(Device<Backend>& device, ViewOn<Scalar, Backend> u, ViewOn<Scalar, Backend> v,
                  Index first) const {
    detail::fill_kaiming(device, detail::seed_at(seed_, first), detail::new_columns(u, first));
    Kernels<Backend>::fill(device, Scalar{0}, detail::new_columns(v, first));
  }

 private:
  std::uint64_t seed_;
};

/// New columns of U uniform in ±1/sqrt(m), so that their length does not depend on the rank; those
/// of V zero.
[[nodiscard]] inline Kaiming kaiming(std::uint64_t seed = 0) { return Kaiming(seed); }

class Orthogonal {
 public:
  Orthogonal(double scale, std::uint64_t seed) : scale_(scale), seed_(seed) {
    detail::require_usable("orthogonal", scale);
  }

  /// @throws RankError when U has more columns than rows, NumericError when it is not finite.
  template <class Backend, class Scalar>
  void operator()(Device<Backend>& device, ViewOn<Scalar, Backend> u, ViewOn<Scalar, Backend> v,
                  Index first) const {
    if (u.cols > u.rows) {
      ACCRETE_THROW RankError("init::orthogonal: " + std::to_string(u.cols) +
                              " columns of length " + std::to_string(u.rows) +
                              " cannot be orthogonal; grow by " +
                              std::to_string(std::max<Index>(u.rows - first, 0)) + " at most");
    }
    using Memory = std::remove_cvref_t<decltype(device.workspace())>;
    typename Memory::Frame frame(device.workspace());
    const auto q = frame.template matrix<Scalar>(u.rows, u.cols);
    const auto r = frame.template matrix<Scalar>(u.cols, u.cols);
    Kernels<Backend>::combine(device, Scalar{1}, u.left_columns(first).as_const(), Scalar{0},
                              q.left_columns(first));
    Kernels<Backend>::fill_normal(device, detail::seed_at(seed_, first), 1.0,
                                  detail::new_columns(q, first));
    Kernels<Backend>::thin_qr(device, q, r);
    Kernels<Backend>::combine(device, static_cast<Scalar>(scale_),
                              ViewOn<const Scalar, Backend>(detail::new_columns(q, first)),
                              Scalar{0}, detail::new_columns(u, first));
    Kernels<Backend>::fill(device, Scalar{0}, detail::new_columns(v, first));
  }

 private:
  double scale_;
  std::uint64_t seed_;
};

/// New columns of U orthogonal to the old ones and to each other, of length `scale`; those of V
/// zero. From a Householder QR of the old columns followed by random ones, which is orthogonal
/// also where the old columns depend on each other. O(m r²).
/// @throws ArgumentError for a zero or non-finite scale.
[[nodiscard]] inline Orthogonal orthogonal(double scale = 1.0, std::uint64_t seed = 0) {
  return {scale, seed};
}

} // namespace init

ACCRETE_END_NAMESPACE
