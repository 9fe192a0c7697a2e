// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/incremental_svd.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct IncrementalPcaOptions {
  /// Most components kept.
  Index max_rank = std::numeric_limits<Index>::max();
  /// Largest Frobenius norm that one block may discard, as a fraction of the whole's.
  double tolerance = 0;
};

/// Principal components of samples that arrive in blocks: the truncated SVD of the centred
/// features x samples matrix, without its V. Memory does not depend on the number of samples.
///
/// A block moves the mean of all samples, by which the earlier ones were centred. One more column,
/// sqrt(n b / (n + b)) (mean of n - mean of b), makes up for that exactly (Ross, Lim, Lin, Yang,
/// "Incremental learning for robust visual tracking", IJCV 2008; sklearn.decomposition.
/// IncrementalPCA, whose samples are rows). It takes the place of the block's own mean, so that a
/// block costs what IncrementalSVD::append_columns does.
template <class Scalar, class Backend = Cpu>
class IncrementalPCA {
 public:
  using Options = IncrementalPcaOptions;
  using Storage = Matrix<Scalar, Backend>;
  using Block = typename IncrementalSVD<Scalar, Backend>::Block;

  /// No samples of `features` numbers each. @throws ShapeError, ArgumentError
  explicit IncrementalPCA(Index features, const Options& options = {})
      : svd_(features,
             {.max_rank = options.max_rank, .tolerance = options.tolerance, .keep_v = false}) {
    mean_ = Storage(features, 1);
    Kernels<Backend>::fill(device(), Scalar{0}, view_of(mean_));
  }

  [[nodiscard]] Index features() const noexcept { return svd_.rows(); }
  [[nodiscard]] Index samples() const noexcept { return samples_; }
  [[nodiscard]] Index rank() const noexcept { return svd_.rank(); }

  /// Mean of all samples, features x 1. Valid until the next append.
  [[nodiscard]] auto mean() const { return Backend::matrix_view(view_of(mean_)); }
  /// Orthonormal columns, features x rank, by descending variance. Valid until the next append.
  [[nodiscard]] auto components() { return svd_.U(); }
  /// Of the centred matrix.
  [[nodiscard]] const std::vector<double>& singular_values() const noexcept {
    return svd_.singular_values();
  }
  /// Variance along each component, with divisor samples - 1; 0 for a single sample.
  [[nodiscard]] std::vector<double> explained_variance() const {
    return squared_values(samples_ > 1 ? 1 / static_cast<double>(samples_ - 1) : 0.0);
  }
  /// The same as a share of the variance of all samples in all features, which is summed exactly
  /// beside the decomposition: the shares add up to at most one, but for rounding.
  [[nodiscard]] std::vector<double> explained_variance_ratio() const {
    return squared_values(squared_norm_ > 0 ? 1 / squared_norm_ : 0.0);
  }
  /// Bound of what the singular values are off by, as IncrementalSVD::error_bound().
  [[nodiscard]] double error_bound() const noexcept { return svd_.error_bound(); }

  /// Takes b samples in, the columns of a features x b block. @throws ShapeError, NumericError
  void append(const Block& block) {
    const View<const Scalar> b = view_of(block);
    check("append", "the block", b, features());
    if (b.empty()) {
      return;
    }
    if (!Kernels<Backend>::all_finite(device(), b)) {
      detail::throw_not_finite("IncrementalPCA append", b.rows, b.cols);
    }
    detail::Frame<Backend> frame(device().workspace());
    const auto rotated = detail::temporary<Scalar>(frame, b.rows, b.cols);
    rotate_mean_to_front(frame, b, rotated);
    const auto count = static_cast<double>(b.cols);
    const auto before = static_cast<double>(samples_);
    const View<Scalar> front = rotated.columns(0, 1);
    const auto block_mean = detail::temporary<Scalar>(frame, b.rows, 1);
    Kernels<Backend>::combine(device(), static_cast<Scalar>(-1 / std::sqrt(count)),
                              View<const Scalar>(front), Scalar{0}, block_mean);
    const double weight = std::sqrt(before * count / (before + count));
    Kernels<Backend>::combine(device(), static_cast<Scalar>(weight), mean_view(), Scalar{0}, front);
    Kernels<Backend>::combine(device(), static_cast<Scalar>(-weight),
                              View<const Scalar>(block_mean), Scalar{1}, front);

    const Index first = samples_ > 0 ? 0 : 1;
    const View<const Scalar> centred = rotated.columns(first, b.cols - first);
    const double added = Kernels<Backend>::squared_norm(device(), centred);
    svd_.append_columns(Backend::matrix_view(centred));
    Kernels<Backend>::combine(device(), static_cast<Scalar>(count / (before + count)),
                              View<const Scalar>(block_mean),
                              static_cast<Scalar>(before / (before + count)), view_of(mean_));
    samples_ += b.cols;
    squared_norm_ += added;
  }

  /// Coordinates of samples, features x b, along the components: rank x b.
  /// @throws ShapeError
  [[nodiscard]] Storage transform(const Block& block) {
    const View<const Scalar> b = view_of(block);
    check("transform", "the block", b, features());
    Storage result(rank(), b.cols);
    if (result.size() > 0) {
      const View<const Scalar> u = view_of(svd_.U());
      detail::Frame<Backend> frame(device().workspace());
      const auto offset = detail::temporary<Scalar>(frame, rank(), 1);
      const auto ones = detail::temporary<Scalar>(frame, b.cols, 1);
      Kernels<Backend>::fill(device(), Scalar{1}, ones);
      Kernels<Backend>::gemm(device(), Scalar{1}, u.transposed(), b, Scalar{0}, view_of(result));
      Kernels<Backend>::gemm(device(), Scalar{1}, u.transposed(), mean_view(), Scalar{0}, offset);
      subtract_from_columns(offset, ones, view_of(result));
    }
    return result;
  }

  /// The samples, features x b, that have these coordinates, rank x b. @throws ShapeError
  [[nodiscard]] Storage inverse_transform(const Block& coordinates) {
    const View<const Scalar> c = view_of(coordinates);
    check("inverse_transform", "the coordinates", c, rank());
    Storage result(features(), c.cols);
    if (result.size() > 0) {
      detail::Frame<Backend> frame(device().workspace());
      const auto ones = detail::temporary<Scalar>(frame, c.cols, 1);
      Kernels<Backend>::fill(device(), Scalar{1}, ones);
      detail::multiply<Backend, Scalar>(device(), view_of(svd_.U()), c, view_of(result));
      Kernels<Backend>::gemm(device(), Scalar{1}, mean_view(),
                             View<const Scalar>(ones).transposed(), Scalar{1}, view_of(result));
    }
    return result;
  }

 private:
  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  [[nodiscard]] View<const Scalar> mean_view() const { return view_of(mean_); }

  /// rotated = b H with the reflection H that turns (1, ..., 1) / sqrt(b) to the first axis: the
  /// first column becomes -sqrt(b) times the mean, the others have the Gram matrix of the centred
  /// block, which itself would have one column too many.
  template <class Frame>
  static void rotate_mean_to_front(Frame& frame, View<const Scalar> b, View<Scalar> rotated) {
    const double entry = 1 / std::sqrt(static_cast<double>(b.cols));
    const auto direction = detail::temporary<Scalar>(frame, b.cols, 1);
    Kernels<Backend>::fill(device(), static_cast<Scalar>(entry), direction);
    Kernels<Backend>::fill(device(), static_cast<Scalar>(1 + entry), direction.block(0, 0, 1, 1));
    const auto image = detail::temporary<Scalar>(frame, b.rows, 1);
    Kernels<Backend>::gemm(device(), static_cast<Scalar>(1 / (1 + entry)), b,
                           View<const Scalar>(direction), Scalar{0}, image);
    detail::copy_into<Backend, Scalar>(device(), b, rotated);
    subtract_from_columns(image, direction, rotated);
  }

  static void subtract_from_columns(View<const Scalar> vector, View<const Scalar> ones,
                                    View<Scalar> target) {
    Kernels<Backend>::gemm(device(), Scalar{-1}, vector, ones.transposed(), Scalar{1}, target);
  }

  void check(const char* operation, const char* name, View<const Scalar> a, Index expected) const {
    if (a.rows != expected) {
      throw ShapeError(std::string("IncrementalPCA ") + operation + ": " + name + " is " +
                       detail::shape_text(a.rows, a.cols) + " but has to have " +
                       std::to_string(expected) + " rows; samples are columns");
    }
  }

  [[nodiscard]] std::vector<double> squared_values(double factor) const {
    std::vector<double> result = singular_values();
    for (double& value : result) {
      value *= value * factor;
    }
    return result;
  }

  IncrementalSVD<Scalar, Backend> svd_;
  Storage mean_;
  Index samples_ = 0;
  double squared_norm_ = 0;
};

ACCRETE_END_NAMESPACE
