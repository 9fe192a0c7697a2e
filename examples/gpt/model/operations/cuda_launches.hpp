// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/backend/cuda/device.hpp>

#include <cstddef>

namespace gpt {

/// A block of queries of all heads and sequences, and the keys up to its last query. Its scores lie
/// in one column for each head of each sequence, queries one after the other for each key.
struct QueryBlock {
  Index heads, length; // of the sequences
  Index stride;        // from key to key in a column of the scores
  Index first, count;  // queries of each sequence

  [[nodiscard]] Index keys() const noexcept { return first + count; }
};

/// The model's kernels for a GPU, each a launch on a stream. Defined in cuda_launches.cuh, which
/// nvcc compiles; vectors are views of one column.
template <class Scalar>
struct ModelLaunches {
  using Target = accrete::View<Scalar, accrete::Cuda>;
  using Source = accrete::View<const Scalar, accrete::Cuda>;
  using Integers = accrete::View<const int, accrete::Cuda>;
  using Numbers = accrete::View<double, accrete::Cuda>;

  static void embed(cudaStream_t stream, const Source& tokens, const Source& positions,
                    const Integers& ids, Index length, const Target& x);
  /// gradient(:, ids[g]) += the columns order[starts[g]] to order[starts[g + 1] - 1] of dx.
  static void embed_tokens_gradient(cudaStream_t stream, const Source& dx, const Integers& ids,
                                    const Integers& starts, const Integers& order,
                                    const Target& gradient);
  static void embed_positions_gradient(cudaStream_t stream, const Source& dx, Index length,
                                       const Target& gradient);

  static void add(cudaStream_t stream, const Source& a, const Source& b, const Target& c);
  /// Mean and 1 / deviation of each column.
  static void statistics(cudaStream_t stream, const Source& x, Scalar epsilon, const Target& mean,
                         const Target& inverse_deviation);
  static void normalise(cudaStream_t stream, const Source& x, const Source& mean,
                        const Source& inverse_deviation, const Source& weight, const Source& bias,
                        const Target& y);
  /// means(0, t) and means(1, t): of weight dy, and of that times the normalised x.
  static void norm_means(cudaStream_t stream, const Source& x, const Source& dy, const Source& mean,
                         const Source& inverse_deviation, const Source& weight,
                         const Target& means);
  static void norm_gradient(cudaStream_t stream, const Source& x, const Source& dy,
                            const Source& mean, const Source& inverse_deviation,
                            const Source& weight, const Source& means, bool overwrite,
                            const Target& dx);
  /// partial(:, p) = sums over the p-th piece of the tokens, of dy times the normalised x.
  static void partial_weight_gradient(cudaStream_t stream, const Source& x, const Source& dy,
                                      const Source& mean, const Source& inverse_deviation,
                                      Index piece, const Target& partial);

  static void gelu(cudaStream_t stream, const Source& x, const Target& y);
  static void gelu_gradient(cudaStream_t stream, const Source& x, const Target& gradient);

  /// Scores to probabilities, zero for keys after the query; log_sum is heads x tokens.
  static void softmax(cudaStream_t stream, const QueryBlock& block, Scalar scale,
                      const Target& scores, const Target& log_sum);
  /// means(h, t) = y dy over the entries of head h.
  static void head_means(cudaStream_t stream, const Source& y, const Source& dy,
                         const Target& means);
  /// Scores to probabilities once more, and their gradients to those of the scores.
  static void softmax_gradient(cudaStream_t stream, const QueryBlock& block, Scalar scale,
                               const Source& log_sum, const Source& means, const Target& scores,
                               const Target& gradients);

  /// The loss of each token; factors(0, t) and factors(1, t) are the largest logit, and what the
  /// exponentials are multiplied by in the gradient.
  static void token_losses(cudaStream_t stream, const Source& logits, const Integers& targets,
                           const Target& factors, const Numbers& losses);
  static void loss_gradient(cudaStream_t stream, const Source& logits, const Integers& targets,
                            const Source& factors, double smoothing, const Target& gradient);

  /// *sum = the sum of the numbers, with scratch memory of sum_bytes(their number).
  static void sum(cudaStream_t stream, const Numbers& numbers, double* sum, void* scratch,
                  std::size_t bytes);
  static std::size_t sum_bytes(Index numbers);
};

} // namespace gpt
