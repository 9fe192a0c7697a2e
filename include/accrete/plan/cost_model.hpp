// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>

#include <algorithm>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

/// Kernels that a plan is made of.
enum class Kernel : unsigned char {
  gemm,    ///< result = alpha a b + beta result, a m x k, b k x n
  gemv,    ///< the same where the result is one column or one row
  combine, ///< result = alpha a + beta result
  fill     ///< result = 0
};

[[nodiscard]] constexpr const char* kernel_name(Kernel kernel) noexcept {
  switch (kernel) {
  case Kernel::gemm:
    return "gemm";
  case Kernel::gemv:
    return "gemv";
  case Kernel::combine:
    return "combine";
  case Kernel::fill:
    return "fill";
  }
  return "unknown";
}

/// Scalar of the operands of an expression.
enum class ScalarType : unsigned char { bfloat, float32, float64 };

template <class Scalar>
inline constexpr ScalarType scalar_type = ScalarType::float64;
template <>
inline constexpr ScalarType scalar_type<float> = ScalarType::float32;
template <>
inline constexpr ScalarType scalar_type<bfloat16> = ScalarType::bfloat;

[[nodiscard]] constexpr int scalar_bytes(ScalarType type) noexcept {
  return type == ScalarType::bfloat ? 2 : type == ScalarType::float32 ? 4 : 8;
}
[[nodiscard]] constexpr const char* scalar_name(ScalarType type) noexcept {
  return type == ScalarType::bfloat ? "bfloat16" : type == ScalarType::float32 ? "float" : "double";
}

/// One kernel call as a cost model sees it: result m x n, inner dimension k (1 unless a product).
struct KernelCall {
  Kernel kernel = Kernel::gemm;
  Index m = 0;
  Index n = 0;
  Index k = 1;
  bool accumulate = false; ///< the result is read as well
  ScalarType scalar = ScalarType::float32;
  Order left = Order::column_major; ///< of the operands of a product
  Order right = Order::column_major;
  Index working_set = 0; ///< bytes of all operands and the result of the expression; 0: not known

  /// Floating-point operations; a multiply-add counts two.
  [[nodiscard]] constexpr double flops() const noexcept {
    const double entries = static_cast<double>(m) * static_cast<double>(n);
    switch (kernel) {
    case Kernel::gemm:
    case Kernel::gemv:
      return 2.0 * entries * static_cast<double>(k);
    case Kernel::combine:
      return accumulate ? 2.0 * entries : entries;
    case Kernel::fill:
      return 0.0;
    }
    return 0.0;
  }

  /// Bytes that must at least move: each operand read once, the result written once.
  [[nodiscard]] constexpr double bytes() const noexcept {
    const auto size = [](Index rows, Index cols) {
      return static_cast<double>(rows) * static_cast<double>(cols);
    };
    double entries = size(m, n) * (accumulate ? 2.0 : 1.0);
    if (kernel == Kernel::gemm || kernel == Kernel::gemv) {
      entries += size(m, k) + size(k, n);
    } else if (kernel == Kernel::combine) {
      entries += size(m, n);
    }
    return entries * scalar_bytes(scalar);
  }
};

/// Predicts the time of one kernel call; the planner minimises the sum over a plan. Derive from it
/// to inject another model.
class CostModel {
 public:
  CostModel() = default;
  CostModel(const CostModel&) = default;
  CostModel& operator=(const CostModel&) = default;
  virtual ~CostModel() = default;

  /// Seconds that the call takes: not negative, and for a product that accumulates not fewer than
  /// for one that does not. The planner relies on both when it gives up what costs too much
  /// already.
  [[nodiscard]] virtual double seconds(const KernelCall& call) const = 0;
};

/// time = overhead + max(FLOPs / rate, bytes / bandwidth). A product whose shortest side is d
/// reaches the fraction d / (d + thin_side) of the peak rate: thin products load an operand for
/// few operations.
class RooflineModel final : public CostModel {
 public:
  using Rates = MachineRates;

  RooflineModel() = default;
  explicit RooflineModel(const Rates& rates) : rates_(rates) {}
  [[nodiscard]] const Rates& rates() const noexcept { return rates_; }

  [[nodiscard]] double seconds(const KernelCall& call) const override {
    const double shortest = static_cast<double>((std::min)({call.m, call.n, call.k}));
    const double peak = call.scalar == ScalarType::bfloat    ? rates_.bfloat16_flops
                        : call.scalar == ScalarType::float32 ? rates_.peak_flops
                                                             : rates_.peak_flops / 2;
    const double rate =
        call.kernel == Kernel::gemm ? peak * shortest / (shortest + rates_.thin_side) : peak;
    return rates_.overhead_seconds +
           (std::max)(call.flops() / (std::max)(rate, 1.0), call.bytes() / rates_.bandwidth);
  }

 private:
  Rates rates_;
};

ACCRETE_END_NAMESPACE
