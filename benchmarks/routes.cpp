// SPDX-License-Identifier: MIT
// What the thresholds of the cpu backend's products (backend/cpu/thresholds.hpp) are worth: around
// each of them, at half and at twice the size that reaches it and on both sides, the time of every
// way that fits, over that of the one that is taken, in brackets: other routes, and of the same
// route one thread and all, columns and rows, packed or not. A threshold is well placed where those
// ratios are above 1 on both sides.
//
//     build/release/benchmarks/routes              # all thresholds
//     build/release/benchmarks/routes 'outer'      # those whose description has this text
//
// The ways take turns; a ratio is the median of nine.
#include "../tests/cpu/threshold_shapes.hpp"

#include <accrete/accrete.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using accrete::Index;
using accrete::View;
using accrete::detail::CpuProducts;
using accrete::detail::ProductShape;
using accrete::detail::Quantity;
using accrete::detail::Route;
using accrete::detail::Spread;
using accrete::detail::Threshold;

constexpr std::pair<Route, const char*> routes[] = {
    {Route::gemv, "gemv"},     {Route::gemv_transposed, "gemv_transposed"},
    {Route::loop, "loop"},     {Route::outer, "outer"},
    {Route::inner, "inner"},   {Route::inner_transposed, "inner_transposed"},
    {Route::native, "native"}, {Route::provider, "provider"}};

struct Way {
  Route route;
  std::string name;
  Spread spread;
};

/// The one that is taken first.
std::vector<Way> ways_of(const ProductShape& shape) {
  std::vector<Way> result;
  const Route taken = route(shape);
  for (const auto& [way, name] : routes) {
    if (way == taken) {
      result.insert(result.begin(), {way, name, spread(way, shape)});
    } else if (fits(way, shape) && (way != Route::loop || shape.of(Quantity::work) < 100000)) {
      result.push_back({way, name, spread(way, shape)});
    }
  }
  const Way first = result.front();
  const auto add = [&](const char* name, Spread other) {
    if (!(other == first.spread)) {
      result.push_back({taken, name, other});
    }
  };
  if (taken == Route::provider && shape.library == accrete::detail::Library::onednn) {
    const Spread parts{shape.threads, shape.cols > shape.rows};
    add(first.spread == parts ? "its own threads" : "in parts",
        first.spread == parts ? Spread{} : parts);
  } else if (taken != Route::provider && taken != Route::loop) {
    Spread other = first.spread;
    other.threads = other.threads == 1 ? shape.threads : 1;
    other.packs = false;
    add(other.threads == 1 ? "one thread" : "all threads", other);
    other = first.spread;
    other.by_columns = !other.by_columns && taken != Route::inner;
    other.packs = false;
    add(other.by_columns ? "by columns" : "by rows", other);
    other = first.spread;
    other.packs = other.by_columns && taken == Route::outer && !other.packs;
    add(other.packs ? "packed" : "in place", other);
  }
  return result;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

template <class Scalar>
Eigen::MatrixX<Scalar> operand(Index rows, Index cols, bool in_columns) {
  return Eigen::MatrixX<Scalar>::Random(in_columns ? rows : cols, in_columns ? cols : rows);
}

template <class Compute>
double seconds_of(Index times, const Compute& compute) {
  const auto begin = std::chrono::steady_clock::now();
  for (Index i = 0; i < times; ++i) {
    compute();
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  return taken.count() / static_cast<double>(times);
}

template <class Scalar>
void measure(const ProductShape& shape) {
  const Eigen::MatrixX<Scalar> left = operand<Scalar>(shape.rows, shape.inner, shape.a_in_columns);
  const Eigen::MatrixX<Scalar> right = operand<Scalar>(shape.inner, shape.cols, shape.b_in_columns);
  Eigen::MatrixX<Scalar> result = Eigen::MatrixX<Scalar>::Zero(shape.rows, shape.cols);
  const View<const Scalar> a =
      shape.a_in_columns ? accrete::view_of(left) : accrete::view_of(left).transposed();
  const View<const Scalar> b =
      shape.b_in_columns ? accrete::view_of(right) : accrete::view_of(right).transposed();
  accrete::Device<accrete::Cpu> device;
  const auto compute = [&](const Way& way) {
    const Scalar beta(shape.adds ? 1 : 0);
#if defined(ACCRETE_USE_ONEDNN)
    if constexpr (std::is_same_v<Scalar, float>) {
      if (way.route == Route::provider) {
        return accrete::detail::OnednnGemm::compute(way.spread, device, 1.0F, a, b, beta,
                                                    accrete::view_of(result));
      }
    }
#endif
    CpuProducts::compute(way.route, way.spread, device, Scalar{1}, a, b, beta,
                         accrete::view_of(result));
  };
  const std::vector<Way> ways = ways_of(shape);
  std::vector<Index> times;
  for (const Way& way : ways) {
    const double once = seconds_of(3, [&] { compute(way); });
    times.push_back(std::max(Index{1}, static_cast<Index>(1e-3 / once)));
  }
  const auto seconds = [&](std::size_t i) {
    return seconds_of(times[i], [&] { compute(ways[i]); });
  };
  std::vector<std::vector<double>> ratios(ways.size());
  for (int round = 0; round < 9; ++round) {
    double before = seconds(0);
    for (std::size_t i = 1; i < ways.size(); ++i) {
      const double its = seconds(i);
      const double after = seconds(0);
      ratios[i].push_back(2 * its / (before + after));
      before = after;
    }
  }
  std::printf("  %s %5ld %5ld %5ld %c%c%s: [%s]", sizeof(Scalar) == 4 ? "float " : "double",
              static_cast<long>(shape.rows), static_cast<long>(shape.inner),
              static_cast<long>(shape.cols), shape.a_in_columns ? 'N' : 'T',
              shape.b_in_columns ? 'N' : 'T', shape.adds ? " +" : "  ", ways.front().name.c_str());
  for (std::size_t i = 1; i < ways.size(); ++i) {
    std::printf("  %s %.2f", ways[i].name.c_str(), median(ratios[i]));
  }
  std::printf("\n");
}

template <class Scalar>
void measure_around(const Threshold& threshold) {
  constexpr ProductSizes bases[] = {{768, 64, 768}, {3072, 8, 768}, {8, 3072, 768},
                                    {768, 768, 12}, {12, 12, 4096}, {32, 32, 4096},
                                    {32, 32, 32},   {768, 1, 768},  {768, 768, 64}};
  std::set<std::tuple<Index, Index, Index, bool>> known;
  for (const ProductSizes& sizes : bases) {
    for (const int orders : {0, 1}) { // W X and Wᵀ X; the second operand of outer products in rows
      const accrete::Device<accrete::Cpu> device;
      ProductShape base{sizes.rows,
                        sizes.cols,
                        sizes.inner,
                        orders == 0,
                        true,
                        false,
                        device.threads(),
                        Index{sizeof(Scalar)},
                        accrete::detail::product_library<Scalar>};
      base.has_native = accrete::detail::has_native_beside_library<Scalar>;
      base.has_avx512 = accrete::detail::native::Avx512Gemm::is_usable();
      base.adds = base.inner <= accrete::detail::outer_depth;
      for (Index ProductShape::* size :
           {&ProductShape::rows, &ProductShape::cols, &ProductShape::inner}) {
        for (const ProductShape& shape : shapes_around(threshold, base)) {
          if (shape.*size == base.*size) {
            continue;
          }
          for (const Index value : {shape.*size / 2, shape.*size, shape.*size * 2}) {
            ProductShape other = shape;
            other.*size = value;
            if (value > 0 && other.of(Quantity::work) < Index{1} << 28 &&
                known.emplace(other.rows, other.cols, other.inner, other.a_in_columns).second) {
              measure<Scalar>(other);
            }
          }
        }
      }
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  for (const Threshold* threshold : accrete::detail::thresholds::all) {
    if (argc > 1 && std::string(threshold->decides).find(argv[1]) == std::string::npos) {
      continue;
    }
    std::printf("%ld: %s\n", static_cast<long>(threshold->value), threshold->decides);
    measure_around<float>(*threshold);
    measure_around<double>(*threshold);
  }
  return 0;
}
