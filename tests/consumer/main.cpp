// SPDX-License-Identifier: MIT
#include "numbers.hpp"

#include <vector>

static std::vector<Unit>& units() {
  static std::vector<Unit> all;
  return all;
}
void add(const Unit& unit) { units().push_back(unit); }

static bool runs_here([[maybe_unused]] const std::string& name) {
#if defined(__x86_64__)
  if (name == "avx2") {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
  if (name == "avx512") {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  }
#endif
  return true;
}

#if defined(CONSUMER_FACTORS)
static bool factors_are_right() {
  namespace ac = accrete;
  bool ok = true;
  // 6 e1 f1ᵀ + 2 e2 f2ᵀ loses its second part.
  Eigen::MatrixXf scaled = Eigen::MatrixXf::Identity(7, 2);
  scaled(0, 0) = 3;
  ac::LowRankMatrix<float> low(2.0F * Eigen::MatrixXf::Identity(9, 2), scaled);
  low.truncate({.max_rank = 1});
  Eigen::MatrixXf rest = low * Eigen::MatrixXf::Identity(7, 7);
  rest(0, 0) -= 6;
  CONSUMER_HOLDS(low.rank() == 1);
  CONSUMER_HOLDS(rest.norm() < 1e-5F);

  // [e1 2 e2] grows by 3 e3.
  const Eigen::MatrixXf columns = Eigen::Vector3f(1, 2, 3).asDiagonal();
  ac::IncrementalSVD<float> svd(3);
  svd.append_columns(columns.leftCols(2));
  svd.append_columns(columns.rightCols(1));
  for (int i = 0; i < 3; ++i) {
    CONSUMER_HOLDS(std::abs(svd.singular_values()[static_cast<unsigned>(i)] - (3 - i)) < 1e-5);
  }
  return ok;
}
#endif

int main() {
  bool ok = numbers_are_right();

  const std::string provider = accrete::Kernels<accrete::Cpu>::product_provider<float>();
  std::printf("products: %s\n", provider.c_str());
#if defined(CONSUMER_PROVIDER)
  CONSUMER_HOLDS(provider == CONSUMER_PROVIDER);
#else
  CONSUMER_HOLDS(provider == "eigen" || provider == "avx512");
#endif

#if defined(CONSUMER_FACTORS)
  ok = factors_are_right() && ok;
#endif
  for (const Unit& unit : units()) {
    const bool same = std::string(unit.configuration) == CONSUMER_TEXT(ACCRETE_ABI_NAMESPACE);
    const bool runs = runs_here(unit.name);
    std::printf("%s: %s\n", unit.name, unit.configuration);
    if (!runs) {
      std::printf("skipped: the unit compiled for %s cannot run here\n", unit.name);
    }
    CONSUMER_HOLDS(same == (std::string(unit.name) == "same"));
    ok = (!runs || unit.is_right()) && ok;
  }
  CONSUMER_HOLDS(units().size() == CONSUMER_UNITS);
  return ok ? 0 : 1;
}
