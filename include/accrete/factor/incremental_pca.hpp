// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/incremental_svd.hpp>
#include <accrete/factor/scaled_norm.hpp>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct IncrementalPCAOptions {
  /// Most components kept.
  Index max_rank = (std::numeric_limits<Index>::max)();
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
  using Options = IncrementalPCAOptions;
  using Storage = Matrix<Scalar, Backend>;
  using Block = typename IncrementalSVD<Scalar, Backend>::Block;

  /// No samples of `features` numbers each. @throws ShapeError, ArgumentError
  explicit IncrementalPCA(Index features, const Options& options = {})
      : svd_(features,
             {.max_rank = options.max_rank, .tolerance = options.tolerance, .keep_v = false}) {
    mean_ = Storage(features, 1);
    exact_mean_.setZero(features);
    Kernels<Backend>::fill(device(), Scalar{0}, view_of(mean_));
  }

  IncrementalPCA(const IncrementalPCA&) = default;
  /// Leaves a PCA of no features behind.
  IncrementalPCA(IncrementalPCA&& other) noexcept : svd_(std::move(other.svd_)) {
    swap_means(other);
  }
  IncrementalPCA& operator=(IncrementalPCA other) noexcept {
    std::swap(svd_, other.svd_);
    swap_means(other);
    return *this;
  }
  ~IncrementalPCA() = default;

  [[nodiscard]] Index features() const noexcept { return svd_.rows(); }
  [[nodiscard]] Index samples() const noexcept { return samples_; }
  [[nodiscard]] Index rank() const noexcept { return svd_.rank(); }

  /// Mean of all samples, features x 1. Valid until the next append.
  [[nodiscard]] auto mean() const& { return Backend::matrix_view(view_of(mean_)); }
  [[nodiscard]] Storage mean() && { return std::move(mean_); }
  /// Orthonormal columns, features x rank, by descending variance. Valid until the next append.
  [[nodiscard]] auto components() const& { return svd_.U(); }
  [[nodiscard]] Storage components() && { return std::move(svd_).U(); }
  /// Of the centred matrix.
  [[nodiscard]] SingularValues singular_values() const { return svd_.singular_values(); }
  /// Variance along each component, with divisor samples - 1; 0 for a single sample.
  [[nodiscard]] Eigen::VectorXd explained_variance() const {
    return squared_values(samples_ > 1 ? 1 / std::sqrt(static_cast<double>(samples_ - 1)) : 0.0);
  }
  /// The same as a share of the variance of all samples in all features, which is summed exactly
  /// beside the decomposition: the shares add up to at most one, but for rounding.
  [[nodiscard]] Eigen::VectorXd explained_variance_ratio() const {
    return squared_values(norm_ > 0 ? 1 / norm_ : 0.0);
  }
  /// Bound of what the singular values are off by, as IncrementalSVD::error_bound().
  [[nodiscard]] double error_bound() const noexcept { return svd_.error_bound(); }

  /// Takes b samples in, the columns of a features x b block. @throws ShapeError, NumericError
  void append(const Block& block) {
    const ViewOn<const Scalar, Backend> b = view_of(block);
    check("append", "the block", b, features());
    if (b.empty()) {
      return;
    }
    if (!Kernels<Backend>::all_finite(device(), b)) {
      detail::throw_not_finite("IncrementalPCA append", b.rows, b.cols);
    }
    detail::Frame<Backend> frame(device().workspace());
    const auto rotated = detail::temporary<Scalar>(frame, b.rows, b.cols);
    detail::copy_into<Backend, Scalar>(device(), b, rotated);
    if (samples_ > 0) { // less the mean of before, so that the rounding is that of the deviations
      const auto ones = detail::temporary<Scalar>(frame, b.cols, 1);
      Kernels<Backend>::fill(device(), Scalar{1}, ones);
      subtract_from_columns(mean_view(), ones, rotated);
    }
    rotate_mean_to_front(frame, rotated);
    const auto count = static_cast<double>(b.cols);
    const auto before = static_cast<double>(samples_);
    const ViewOn<Scalar, Backend> front = rotated.columns(0, 1);
    const Eigen::VectorXd new_mean = moved_mean(front, count, before);
    // The front is -sqrt(b) (mean of b - mean of n).
    Kernels<Backend>::combine(device(), static_cast<Scalar>(std::sqrt(before / (before + count))),
                              front.as_const(), Scalar{0}, front);

    const Index first = samples_ > 0 ? 0 : 1;
    const ViewOn<const Scalar, Backend> centred = rotated.columns(first, b.cols - first);
    const double added = detail::norm_of<Backend>(device(), centred);
    svd_.append_columns(Backend::matrix_view(centred));
    set_mean(new_mean);
    samples_ += b.cols;
    norm_ = std::hypot(norm_, added);
  }

  /// Coordinates of samples, features x b, along the components: rank x b.
  /// @throws ShapeError
  [[nodiscard]] Storage transform(const Block& block) const {
    const ViewOn<const Scalar, Backend> b = view_of(block);
    check("transform", "the block", b, features());
    Storage result(rank(), b.cols);
    if (result.size() > 0) {
      const ViewOn<const Scalar, Backend> u = view_of(svd_.U());
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
  [[nodiscard]] Storage inverse_transform(const Block& coordinates) const {
    const ViewOn<const Scalar, Backend> c = view_of(coordinates);
    check("inverse_transform", "the coordinates", c, rank());
    Storage result(features(), c.cols);
    if (result.size() > 0) {
      detail::Frame<Backend> frame(device().workspace());
      const auto ones = detail::temporary<Scalar>(frame, c.cols, 1);
      Kernels<Backend>::fill(device(), Scalar{1}, ones);
      detail::multiply<Backend, Scalar>(device(), view_of(svd_.U()), c, view_of(result));
      Kernels<Backend>::gemm(device(), Scalar{1}, mean_view(), ones.as_const().transposed(),
                             Scalar{1}, view_of(result));
    }
    return result;
  }

 private:
  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  [[nodiscard]] ViewOn<const Scalar, Backend> mean_view() const { return view_of(mean_); }

  void swap_means(IncrementalPCA& other) noexcept {
    mean_.swap(other.mean_);
    exact_mean_.swap(other.exact_mean_);
    std::swap(samples_, other.samples_);
    std::swap(norm_, other.norm_);
  }

  /// The mean with a block of `count` samples added, of which `front` is what
  /// rotate_mean_to_front() made of the deviations from mean_.
  [[nodiscard]] Eigen::VectorXd moved_mean(ViewOn<const Scalar, Backend> front, double count,
                                           double before) const {
    Eigen::Matrix<Scalar, Eigen::Dynamic, 1> host(front.rows);
    Eigen::Matrix<Scalar, Eigen::Dynamic, 1> old_mean(front.rows);
    Kernels<Backend>::download(device(), front, host.data());
    Kernels<Backend>::download(device(), mean_view(), old_mean.data());
    const double share = count / (before + count);
    Eigen::VectorXd result = exact_mean_;
    for (Index i = 0; i < front.rows; ++i) {
      const double of_block =
          static_cast<double>(old_mean[i]) - static_cast<double>(host[i]) / std::sqrt(count);
      result[i] += share * (of_block - result[i]);
    }
    return result;
  }
  void set_mean(const Eigen::VectorXd& mean) {
    Eigen::Matrix<Scalar, Eigen::Dynamic, 1> rounded(mean.size());
    for (Index i = 0; i < mean.size(); ++i) {
      rounded[i] = static_cast<Scalar>(mean[i]);
    }
    Kernels<Backend>::upload(device(), rounded.data(), view_of(mean_));
    exact_mean_ = mean;
  }

  /// b <- b H with the reflection H that turns (1, ..., 1) / sqrt(b) to the first axis: the first
  /// column becomes -sqrt(b) times the mean, the others have the Gram matrix of the centred block,
  /// which itself would have one column too many.
  template <class Frame>
  static void rotate_mean_to_front(Frame& frame, ViewOn<Scalar, Backend> b) {
    const double entry = 1 / std::sqrt(static_cast<double>(b.cols));
    const auto direction = detail::temporary<Scalar>(frame, b.cols, 1);
    Kernels<Backend>::fill(device(), static_cast<Scalar>(entry), direction);
    Kernels<Backend>::fill(device(), static_cast<Scalar>(1 + entry), direction.block(0, 0, 1, 1));
    const auto image = detail::temporary<Scalar>(frame, b.rows, 1);
    Kernels<Backend>::gemm(device(), static_cast<Scalar>(1 / (1 + entry)), b.as_const(),
                           direction.as_const(), Scalar{0}, image);
    subtract_from_columns(image, direction, b);
  }

  static void subtract_from_columns(ViewOn<const Scalar, Backend> vector,
                                    ViewOn<const Scalar, Backend> ones,
                                    ViewOn<Scalar, Backend> target) {
    Kernels<Backend>::gemm(device(), Scalar{-1}, vector, ones.transposed(), Scalar{1}, target);
  }

  void check(const char* operation, const char* name, ViewOn<const Scalar, Backend> a,
             Index expected) const {
    if (a.rows != expected) {
      ACCRETE_THROW ShapeError(std::string("IncrementalPCA ") + operation + ": " + name + " is " +
                               detail::shape_text(a.rows, a.cols) + " but has to have " +
                               std::to_string(expected) + " rows; samples are columns");
    }
  }

  /// The squares of the singular values times the factor, which have no unit where it is 1 / norm:
  /// they neither over- nor underflow then.
  [[nodiscard]] Eigen::VectorXd squared_values(double factor) const {
    return (singular_values() * factor).cwiseAbs2();
  }

  IncrementalSVD<Scalar, Backend> svd_;
  Storage mean_;
  Eigen::VectorXd exact_mean_; // in double: of many samples each moves it by less than a rounding
  Index samples_ = 0;
  double norm_ = 0; // of all centred samples
};

ACCRETE_END_NAMESPACE
