// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/cuda_launches.hpp"

#include <accrete/backend/cuda/parallel.cuh>

#include <cmath>

namespace gpt {

/// What each kernel computes at one position. Positions run down the columns of the result.
namespace kernel {

using accrete::View;

struct Embed {
  Index length;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& tokens,
                                     const View<const Scalar>& positions,
                                     const View<const int>& ids, const View<Scalar>& x) const {
    const Index i = k % x.rows;
    const Index n = k / x.rows;
    x(i, n) = tokens(i, ids(n, 0)) + positions(i, n % length);
  }
};

struct EmbedTokensGradient {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& dx,
                                     const View<const int>& ids, const View<const int>& starts,
                                     const View<const int>& order,
                                     const View<Scalar>& gradient) const {
    const Index i = k % dx.rows;
    const Index group = k / dx.rows;
    Scalar& target = gradient(i, ids(group, 0));
    Scalar sum = target;
    for (Index n = starts(group, 0); n < starts(group + 1, 0); ++n) {
      sum += dx(i, order(n, 0));
    }
    target = sum;
  }
};

struct EmbedPositionsGradient {
  Index length;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& dx,
                                     const View<Scalar>& gradient) const {
    const Index i = k % dx.rows;
    const Index position = k / dx.rows;
    Scalar sum = gradient(i, position);
    for (Index n = position; n < dx.cols; n += length) {
      sum += dx(i, n);
    }
    gradient(i, position) = sum;
  }
};

struct Add {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<const Scalar>& b, const View<Scalar>& c) const {
    const Index i = k % c.rows;
    const Index t = k / c.rows;
    c(i, t) = a(i, t) + b(i, t);
  }
};

/// One token by one thread.
template <class Scalar>
struct Statistics {
  Scalar epsilon;
  ACCRETE_DEVICE_TOO void operator()(Index t, const View<const Scalar>& x, const View<Scalar>& mean,
                                     const View<Scalar>& inverse_deviation) const {
    const auto width = static_cast<Scalar>(x.rows);
    Scalar sum{0};
    for (Index i = 0; i < x.rows; ++i) {
      sum += x(i, t);
    }
    const Scalar centre = sum / width;
    Scalar squares{0};
    for (Index i = 0; i < x.rows; ++i) {
      squares += (x(i, t) - centre) * (x(i, t) - centre);
    }
    mean(t, 0) = centre;
    inverse_deviation(t, 0) = Scalar{1} / std::sqrt(squares / width + epsilon);
  }
};

struct Normalise {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void
  operator()(Index k, const View<const Scalar>& x, const View<const Scalar>& mean,
             const View<const Scalar>& inverse_deviation, const View<const Scalar>& weight,
             const View<const Scalar>& bias, const View<Scalar>& y) const {
    const Index i = k % x.rows;
    const Index t = k / x.rows;
    const Scalar scaled = (x(i, t) - mean(t, 0)) * inverse_deviation(t, 0) * weight(i, 0);
    y(i, t) = bias.rows > 0 ? scaled + bias(i, 0) : scaled;
  }
};

/// One token by one thread.
struct NormMeans {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void
  operator()(Index t, const View<const Scalar>& x, const View<const Scalar>& dy,
             const View<const Scalar>& mean, const View<const Scalar>& inverse_deviation,
             const View<const Scalar>& weight, const View<Scalar>& means) const {
    Scalar along_mean{0};
    Scalar along_x{0};
    for (Index i = 0; i < x.rows; ++i) {
      const Scalar scaled = dy(i, t) * weight(i, 0);
      along_mean += scaled;
      along_x += scaled * ((x(i, t) - mean(t, 0)) * inverse_deviation(t, 0));
    }
    means(0, t) = along_mean / static_cast<Scalar>(x.rows);
    means(1, t) = along_x / static_cast<Scalar>(x.rows);
  }
};

struct NormGradient {
  bool overwrite;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void
  operator()(Index k, const View<const Scalar>& x, const View<const Scalar>& dy,
             const View<const Scalar>& mean, const View<const Scalar>& inverse_deviation,
             const View<const Scalar>& weight, const View<const Scalar>& means,
             const View<Scalar>& dx) const {
    const Index i = k % x.rows;
    const Index t = k / x.rows;
    const Scalar centred = (x(i, t) - mean(t, 0)) * inverse_deviation(t, 0);
    const Scalar gradient =
        (dy(i, t) * weight(i, 0) - means(0, t) - centred * means(1, t)) * inverse_deviation(t, 0);
    dx(i, t) = overwrite ? gradient : dx(i, t) + gradient;
  }
};

struct PartialWeightGradient {
  Index piece;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& x,
                                     const View<const Scalar>& dy, const View<const Scalar>& mean,
                                     const View<const Scalar>& inverse_deviation,
                                     const View<Scalar>& partial) const {
    const Index i = k % partial.rows;
    const Index p = k / partial.rows;
    Scalar sum{0};
    for (Index t = p * piece; t < (p + 1) * piece && t < x.cols; ++t) {
      sum += dy(i, t) * ((x(i, t) - mean(t, 0)) * inverse_deviation(t, 0));
    }
    partial(i, p) = sum;
  }
};

/// The distribution function of the standard normal; erfc keeps its precision in the lower tail.
template <class Scalar>
ACCRETE_DEVICE_TOO Scalar normal_distribution(Scalar x) {
  return Scalar{0.5} * std::erfc(-x * static_cast<Scalar>(0.70710678118654752440));
}

struct Gelu {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& x,
                                     const View<Scalar>& y) const {
    const Scalar value = x(k % x.rows, k / x.rows);
    y(k % x.rows, k / x.rows) = value * normal_distribution(value);
  }
};

struct GeluGradient {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& x,
                                     const View<Scalar>& gradient) const {
    const Scalar value = x(k % x.rows, k / x.rows);
    const Scalar density =
        static_cast<Scalar>(0.39894228040143267794) * std::exp(Scalar{-0.5} * value * value);
    gradient(k % x.rows, k / x.rows) *= normal_distribution(value) + value * density;
  }
};

/// One query of one head by one thread. Threads beside each other take queries beside each other,
/// whose scores lie so.
template <class Scalar>
struct Softmax {
  QueryBlock block;
  Scalar scale;

  ACCRETE_DEVICE_TOO void operator()(Index k, const View<Scalar>& scores,
                                     const View<Scalar>& log_sum) const {
    const Index query = k % block.count;
    const Index head = k / block.count; // counted over all sequences
    const Index visible = block.first + query + 1;
    const auto score = [&](Index key) -> Scalar& {
      return scores(query + key * block.stride, head);
    };
    Scalar largest = score(0);
    for (Index key = 1; key < visible; ++key) {
      largest = score(key) > largest ? score(key) : largest;
    }
    Scalar sum{0};
    for (Index key = 0; key < visible; ++key) {
      score(key) = std::exp((score(key) - largest) * scale);
      sum += score(key);
    }
    for (Index key = 0; key < visible; ++key) {
      score(key) /= sum;
    }
    for (Index key = visible; key < block.first + block.count; ++key) {
      score(key) = Scalar{0};
    }
    log_sum(head % block.heads, head / block.heads * block.length + block.first + query) =
        scale * largest + std::log(sum);
  }
};

/// One head of one token by one thread.
struct HeadMeans {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& y,
                                     const View<const Scalar>& dy,
                                     const View<Scalar>& means) const {
    const Index head = k % means.rows;
    const Index t = k / means.rows;
    const Index size = y.rows / means.rows;
    Scalar sum{0};
    for (Index i = head * size; i < (head + 1) * size; ++i) {
      sum += y(i, t) * dy(i, t);
    }
    means(head, t) = sum;
  }
};

template <class Scalar>
struct SoftmaxGradient {
  QueryBlock block;
  Scalar scale;

  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& log_sum,
                                     const View<const Scalar>& means, const View<Scalar>& scores,
                                     const View<Scalar>& gradients) const {
    const Index query = k % block.count;
    const Index key = k / block.count % (block.first + block.count);
    const Index head = k / block.count / (block.first + block.count); // over all sequences
    const Index at = query + key * block.stride;
    Scalar probability{0};
    Scalar gradient{0};
    if (key <= block.first + query) {
      const Index row = head % block.heads;
      const Index t = head / block.heads * block.length + block.first + query;
      probability = std::exp(scores(at, head) * scale - log_sum(row, t));
      gradient = probability * (gradients(at, head) - means(row, t)) * scale;
    }
    scores(at, head) = probability;
    gradients(at, head) = gradient;
  }
};

/// One token by one thread.
struct TokenLosses {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index t, const View<const Scalar>& logits,
                                     const View<const int>& targets, const View<Scalar>& factors,
                                     const View<double>& losses) const {
    Scalar largest = logits(0, t);
    for (Index i = 1; i < logits.rows; ++i) {
      largest = logits(i, t) > largest ? logits(i, t) : largest;
    }
    Scalar sum{0};
    for (Index i = 0; i < logits.rows; ++i) {
      sum += std::exp(logits(i, t) - largest);
    }
    losses(t, 0) = std::log(static_cast<double>(sum)) + static_cast<double>(largest) -
                   static_cast<double>(logits(targets(t, 0), t));
    factors(0, t) = largest;
    factors(1, t) = Scalar{1} / (sum * static_cast<Scalar>(logits.cols));
  }
};

struct LossGradient {
  double smoothing;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void
  operator()(Index k, const View<const Scalar>& logits, const View<const int>& targets,
             const View<const Scalar>& factors, const View<Scalar>& gradient) const {
    const Index i = k % logits.rows;
    const Index t = k / logits.rows;
    const Scalar probability = std::exp(logits(i, t) - factors(0, t)) * factors(1, t);
    const Scalar share = Scalar{1} / static_cast<Scalar>(logits.cols);
    const Scalar expected = static_cast<Scalar>(smoothing) / static_cast<Scalar>(logits.rows) +
                            (i == targets(t, 0) ? static_cast<Scalar>(1 - smoothing) : Scalar{0});
    gradient(i, t) = probability - share * expected;
  }
};

struct Number {
  ACCRETE_DEVICE_TOO double operator()(Index k, const View<double>& numbers) const {
    return numbers(k, 0);
  }
};

} // namespace kernel

template <class Scalar>
void ModelLaunches<Scalar>::embed(cudaStream_t stream, const Source& tokens,
                                  const Source& positions, const Integers& ids, Index length,
                                  const Target& x) {
  accrete::detail::for_each_position(stream, "embed", x.size(), kernel::Embed{length}, tokens,
                                     positions, ids, x);
}
template <class Scalar>
void ModelLaunches<Scalar>::embed_tokens_gradient(cudaStream_t stream, const Source& dx,
                                                  const Integers& ids, const Integers& starts,
                                                  const Integers& order, const Target& gradient) {
  accrete::detail::for_each_position(stream, "embed_tokens_gradient", dx.rows * ids.rows,
                                     kernel::EmbedTokensGradient{}, dx, ids, starts, order,
                                     gradient);
}
template <class Scalar>
void ModelLaunches<Scalar>::embed_positions_gradient(cudaStream_t stream, const Source& dx,
                                                     Index length, const Target& gradient) {
  accrete::detail::for_each_position(stream, "embed_positions_gradient", dx.rows * length,
                                     kernel::EmbedPositionsGradient{length}, dx, gradient);
}

template <class Scalar>
void ModelLaunches<Scalar>::add(cudaStream_t stream, const Source& a, const Source& b,
                                const Target& c) {
  accrete::detail::for_each_position(stream, "add", c.size(), kernel::Add{}, a, b, c);
}
template <class Scalar>
void ModelLaunches<Scalar>::statistics(cudaStream_t stream, const Source& x, Scalar epsilon,
                                       const Target& mean, const Target& inverse_deviation) {
  accrete::detail::for_each_position(stream, "statistics", x.cols,
                                     kernel::Statistics<Scalar>{epsilon}, x, mean,
                                     inverse_deviation);
}
template <class Scalar>
void ModelLaunches<Scalar>::normalise(cudaStream_t stream, const Source& x, const Source& mean,
                                      const Source& inverse_deviation, const Source& weight,
                                      const Source& bias, const Target& y) {
  accrete::detail::for_each_position(stream, "normalise", x.size(), kernel::Normalise{}, x, mean,
                                     inverse_deviation, weight, bias, y);
}
template <class Scalar>
void ModelLaunches<Scalar>::norm_means(cudaStream_t stream, const Source& x, const Source& dy,
                                       const Source& mean, const Source& inverse_deviation,
                                       const Source& weight, const Target& means) {
  accrete::detail::for_each_position(stream, "norm_means", x.cols, kernel::NormMeans{}, x, dy, mean,
                                     inverse_deviation, weight, means);
}
template <class Scalar>
void ModelLaunches<Scalar>::norm_gradient(cudaStream_t stream, const Source& x, const Source& dy,
                                          const Source& mean, const Source& inverse_deviation,
                                          const Source& weight, const Source& means, bool overwrite,
                                          const Target& dx) {
  accrete::detail::for_each_position(stream, "norm_gradient", x.size(),
                                     kernel::NormGradient{overwrite}, x, dy, mean,
                                     inverse_deviation, weight, means, dx);
}
template <class Scalar>
void ModelLaunches<Scalar>::partial_weight_gradient(cudaStream_t stream, const Source& x,
                                                    const Source& dy, const Source& mean,
                                                    const Source& inverse_deviation, Index piece,
                                                    const Target& partial) {
  accrete::detail::for_each_position(stream, "partial_weight_gradient", partial.size(),
                                     kernel::PartialWeightGradient{piece}, x, dy, mean,
                                     inverse_deviation, partial);
}

template <class Scalar>
void ModelLaunches<Scalar>::gelu(cudaStream_t stream, const Source& x, const Target& y) {
  accrete::detail::for_each_position(stream, "gelu", x.size(), kernel::Gelu{}, x, y);
}
template <class Scalar>
void ModelLaunches<Scalar>::gelu_gradient(cudaStream_t stream, const Source& x,
                                          const Target& gradient) {
  accrete::detail::for_each_position(stream, "gelu_gradient", x.size(), kernel::GeluGradient{}, x,
                                     gradient);
}

template <class Scalar>
void ModelLaunches<Scalar>::softmax(cudaStream_t stream, const QueryBlock& block, Scalar scale,
                                    const Target& scores, const Target& log_sum) {
  accrete::detail::for_each_position(stream, "softmax", block.count * scores.cols,
                                     kernel::Softmax<Scalar>{block, scale}, scores, log_sum);
}
template <class Scalar>
void ModelLaunches<Scalar>::head_means(cudaStream_t stream, const Source& y, const Source& dy,
                                       const Target& means) {
  accrete::detail::for_each_position(stream, "head_means", means.size(), kernel::HeadMeans{}, y, dy,
                                     means);
}
template <class Scalar>
void ModelLaunches<Scalar>::softmax_gradient(cudaStream_t stream, const QueryBlock& block,
                                             Scalar scale, const Source& log_sum,
                                             const Source& means, const Target& scores,
                                             const Target& gradients) {
  accrete::detail::for_each_position(
      stream, "softmax_gradient", block.count * block.keys() * scores.cols,
      kernel::SoftmaxGradient<Scalar>{block, scale}, log_sum, means, scores, gradients);
}

template <class Scalar>
void ModelLaunches<Scalar>::token_losses(cudaStream_t stream, const Source& logits,
                                         const Integers& targets, const Target& factors,
                                         const Numbers& losses) {
  accrete::detail::for_each_position(stream, "token_losses", logits.cols, kernel::TokenLosses{},
                                     logits, targets, factors, losses);
}
template <class Scalar>
void ModelLaunches<Scalar>::loss_gradient(cudaStream_t stream, const Source& logits,
                                          const Integers& targets, const Source& factors,
                                          double smoothing, const Target& gradient) {
  accrete::detail::for_each_position(stream, "loss_gradient", logits.size(),
                                     kernel::LossGradient{smoothing}, logits, targets, factors,
                                     gradient);
}

template <class Scalar>
void ModelLaunches<Scalar>::sum(cudaStream_t stream, const Numbers& numbers, double* sum,
                                void* scratch, std::size_t bytes) {
  accrete::detail::sum_positions(stream, "sum", numbers.rows, sum, scratch, bytes, kernel::Number{},
                                 numbers);
}
template <class Scalar>
std::size_t ModelLaunches<Scalar>::sum_bytes(Index numbers) {
  return accrete::detail::sum_scratch(numbers);
}

} // namespace gpt
