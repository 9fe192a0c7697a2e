// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/cuda_attention.hpp"
#include "model/operations/cuda_launches.hpp"
#include "model/operations/operations.hpp"

#include <accrete/backend/cuda/kernels.hpp>

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

namespace gpt {

namespace detail {

/// Where each token stands in a batch: positions order[starts[g]] to order[starts[g + 1] - 1] hold
/// ids[g], in ascending order.
struct TokenGroups {
  std::vector<int> ids, starts, order;

  explicit TokenGroups(std::span<const int> tokens) : order(tokens.size()) {
    const auto id = [&](int position) { return tokens[static_cast<std::size_t>(position)]; };
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return id(a) < id(b); });
    for (std::size_t n = 0; n < order.size(); ++n) {
      if (ids.empty() || ids.back() != id(order[n])) {
        ids.push_back(id(order[n]));
        starts.push_back(static_cast<int>(n));
      }
    }
    starts.push_back(static_cast<int>(order.size()));
  }
};

} // namespace detail

template <>
struct Operations<accrete::Cuda> {
  template <class Scalar>
  using Storage = Matrix<Scalar, accrete::Cuda>;
  template <class Scalar>
  using Launches = ModelLaunches<Scalar>;
  using Frame = accrete::detail::Frame<accrete::Cuda>;

  template <class Scalar>
  static void embed(const Storage<Scalar>& tokens, const Storage<Scalar>& positions,
                    std::span<const int> ids, Index length, Storage<Scalar>& x) {
    set_shape(x, tokens.rows(), static_cast<Index>(ids.size()));
    Frame frame(device().workspace());
    Launches<Scalar>::embed(stream(), tokens, positions, uploaded(frame, ids), length, x);
  }

  /// A sum for each token that occurs and each position, which adds in the batch's order.
  template <class Scalar>
  static void embed_gradient(std::span<const int> ids, Index length, const Storage<Scalar>& dx,
                             Storage<Scalar>& tokens, Storage<Scalar>& positions) {
    const detail::TokenGroups groups(ids);
    Frame frame(device().workspace());
    const auto group_ids = uploaded(frame, groups.ids);
    const auto starts = uploaded(frame, groups.starts);
    Launches<Scalar>::embed_tokens_gradient(stream(), dx, group_ids, starts,
                                            uploaded(frame, groups.order), tokens);
    Launches<Scalar>::embed_positions_gradient(stream(), dx, length, positions);
  }

  template <class Scalar>
  static void normalise(Norm<Scalar, accrete::Cuda>& norm, const Storage<Scalar>& x,
                        Storage<Scalar>& y) {
    set_shape(y, x.rows(), x.cols());
    set_shape(norm.mean, x.cols(), 1);
    set_shape(norm.inverse_deviation, x.cols(), 1);
    Launches<Scalar>::statistics(stream(), x, norm.epsilon, norm.mean, norm.inverse_deviation);
    Launches<Scalar>::normalise(stream(), x, norm.mean, norm.inverse_deviation, norm.weight,
                                norm.bias, y);
  }
  template <class Scalar>
  static void add_and_normalise(Norm<Scalar, accrete::Cuda>& norm, const Storage<Scalar>& stream_,
                                const Storage<Scalar>& branch, Storage<Scalar>& x,
                                Storage<Scalar>& y) {
    set_shape(x, branch.rows(), branch.cols());
    Launches<Scalar>::add(stream(), stream_, branch, x);
    normalise(norm, x, y);
  }

  template <class Scalar>
  static void normalise_gradient(Norm<Scalar, accrete::Cuda>& norm, const Storage<Scalar>& x,
                                 const Storage<Scalar>& dy, bool overwrite, Storage<Scalar>& dx) {
    set_shape(dx, x.rows(), x.cols());
    Frame frame(device().workspace());
    const auto means = frame.matrix<Scalar>(2, x.cols());
    Launches<Scalar>::norm_means(stream(), x, dy, norm.mean, norm.inverse_deviation, norm.weight,
                                 means);
    Launches<Scalar>::norm_gradient(stream(), x, dy, norm.mean, norm.inverse_deviation, norm.weight,
                                    means, overwrite, dx);
    set_shape(norm.partial, x.rows(), pieces(x.cols()));
    Launches<Scalar>::partial_weight_gradient(stream(), x, dy, norm.mean, norm.inverse_deviation,
                                              token_piece, norm.partial);
    accrete::detail::CudaLaunches<Scalar>::add_columns(stream(), norm.partial,
                                                       norm.weight_gradient);
    if (norm.has_bias()) {
      accrete::Kernels<accrete::Cuda>::add_row_sums<Scalar>(device(), dy, norm.bias_gradient);
    }
  }

  template <class Scalar>
  static void gelu(const Storage<Scalar>& x, Storage<Scalar>& y) {
    set_shape(y, x.rows(), x.cols());
    Launches<Scalar>::gelu(stream(), x, y);
  }
  template <class Scalar>
  static void gelu_gradient(const Storage<Scalar>& x, Storage<Scalar>& gradient) {
    Launches<Scalar>::gelu_gradient(stream(), x, gradient);
  }

  template <class Scalar>
  static void attention(const Storage<Scalar>& qkv, Index heads, Index length, Storage<Scalar>& y,
                        Storage<Scalar>& log_sum, Storage<Scalar>& scratch) {
    CudaAttention<Scalar>(qkv, heads, length, scratch).forward(y, log_sum);
  }
  template <class Scalar>
  static void attention_gradient(const Storage<Scalar>& qkv, const Storage<Scalar>& y,
                                 const Storage<Scalar>& dy, Index heads, Index length,
                                 const Storage<Scalar>& log_sum, Storage<Scalar>& dqkv,
                                 Storage<Scalar>& scratch) {
    CudaAttention<Scalar>(qkv, heads, length, scratch).backward(y, dy, log_sum, dqkv);
  }

  template <class Scalar>
  static double cross_entropy(const Storage<Scalar>& logits, std::span<const int> targets,
                              double smoothing, Storage<Scalar>& gradient) {
    set_shape(gradient, logits.rows(), logits.cols());
    Frame frame(device().workspace());
    const auto expected = uploaded(frame, targets);
    const auto factors = frame.matrix<Scalar>(2, logits.cols());
    const auto losses = frame.matrix<double>(logits.cols(), 1);
    Launches<Scalar>::token_losses(stream(), logits, expected, factors, losses);
    Launches<Scalar>::loss_gradient(stream(), logits, expected, factors, smoothing, gradient);
    return downloaded_sum<Scalar>(frame, losses) / static_cast<double>(logits.cols());
  }

  template <class Scalar>
  static double squared_norm(std::span<const accrete::View<const Scalar, accrete::Cuda>> matrices) {
    using Sums = accrete::detail::CudaLaunches<Scalar>;
    Frame frame(device().workspace());
    const auto sums = frame.matrix<double>(static_cast<Index>(matrices.size()), 1);
    std::size_t bytes = 0;
    for (const auto& matrix : matrices) {
      bytes = std::max(bytes, Sums::sum_bytes(matrix.size()));
    }
    void* const scratch = frame.allocate<std::byte>(static_cast<Index>(bytes));
    double* sum = sums.data;
    for (const auto& matrix : matrices) {
      Sums::squared_norm(stream(), matrix, sum++, scratch, bytes);
    }
    return downloaded_sum<Scalar>(frame, sums);
  }

 private:
  static constexpr Index token_piece = 64;
  static Index pieces(Index tokens) { return (tokens + token_piece - 1) / token_piece; }

  static accrete::Device<accrete::Cuda>& device() { return current_device<accrete::Cuda>(); }
  static cudaStream_t stream() { return device().stream(); }

  static accrete::View<const int, accrete::Cuda> uploaded(Frame& frame,
                                                          std::span<const int> values) {
    return accrete::dense_view<accrete::Cuda>(device().uploaded(frame, values),
                                              static_cast<Index>(values.size()), 1);
  }

  template <class Scalar>
  static double downloaded_sum(Frame& frame, const accrete::View<double, accrete::Cuda>& numbers) {
    const std::size_t bytes = Launches<Scalar>::sum_bytes(numbers.rows);
    void* const scratch = frame.allocate<std::byte>(static_cast<Index>(bytes));
    double* const sum = frame.allocate<double>(1);
    Launches<Scalar>::sum(stream(), numbers, sum, scratch, bytes);
    return device().downloaded(sum);
  }
};

} // namespace gpt
