// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <Eigen/Core>

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Span>
concept SpanUnlikeEigen = std::is_same_v<Span, std::span<const double>> &&
                          !std::is_convertible_v<const Eigen::VectorXd&, Span>;

} // namespace detail

/// Singular values, descending, in double and in host memory whatever the matrix: an Eigen vector
/// that is also read as a std::span, as the rank policies do. `.cast<float>()` for products with
/// bases in float.
class SingularValues : public Eigen::VectorXd {
 public:
  using Eigen::VectorXd::VectorXd;
  using Eigen::VectorXd::operator=;

  SingularValues() = default;
  // NOLINTBEGIN(google-explicit-constructor): all are the same values
  template <class Derived>
  SingularValues(const Eigen::MatrixBase<Derived>& values) : Eigen::VectorXd(values) {}
  SingularValues(const std::vector<double>& values)
      : Eigen::VectorXd(
            Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<Index>(values.size()))) {}

  // Where Eigen's iterators do not make it a range for std::span already.
  template <detail::SpanUnlikeEigen Span>
  operator Span() const noexcept {
    return {data(), static_cast<std::size_t>(size())};
  }
  // NOLINTEND(google-explicit-constructor)
};

ACCRETE_END_NAMESPACE
