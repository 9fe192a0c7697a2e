// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <cmath>

ACCRETE_BEGIN_NAMESPACE

/// What the kernel `map` computes of each entry.
enum class Function : unsigned char {
  silu,       ///< x / (1 + exp(-x))
  silu_slope, ///< its derivative
  reciprocal, ///< 1 / x, of 0 it is 0
  sign        ///< -1 below 0, otherwise 1
};

namespace detail {

template <Function function, class Scalar>
ACCRETE_DEVICE_TOO Scalar function_value(Scalar x) {
  if constexpr (function == Function::reciprocal) {
    return x == Scalar{0} ? Scalar{0} : Scalar{1} / x;
  } else if constexpr (function == Function::sign) {
    return x < Scalar{0} ? Scalar{-1} : Scalar{1};
  } else {
    const Scalar sigmoid = Scalar{1} / (Scalar{1} + std::exp(-x));
    return function == Function::silu ? x * sigmoid
                                      : sigmoid * (Scalar{1} + x * (Scalar{1} - sigmoid));
  }
}

/// Calls action(name) with the function as a constant that knows itself.
template <Function known>
struct KnownFunction {
  static constexpr Function function = known;
  template <class Scalar>
  ACCRETE_DEVICE_TOO Scalar operator()(Scalar x) const {
    return function_value<known>(x);
  }
};
template <class Action>
void with_function(Function function, const Action& action) {
  switch (function) {
  case Function::silu:
    return action(KnownFunction<Function::silu>{});
  case Function::silu_slope:
    return action(KnownFunction<Function::silu_slope>{});
  case Function::reciprocal:
    return action(KnownFunction<Function::reciprocal>{});
  case Function::sign:
    return action(KnownFunction<Function::sign>{});
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
