// SPDX-License-Identifier: MIT
#include "threshold_shapes.hpp"
#include "whole_numbers.hpp"

#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace ac = accrete;
using ac::Index;
using ac::View;
using ac::detail::CpuProducts;
using ac::detail::Library;
using ac::detail::ProductShape;
using ac::detail::Route;
using ac::detail::Spread;
using ac::detail::Threshold;

namespace {

constexpr Route routes[] = {Route::none,   Route::scale,   Route::gemv,  Route::gemv_transposed,
                            Route::loop,   Route::outer,   Route::inner, Route::inner_transposed,
                            Route::native, Route::provider};

constexpr Library libraries[] = {Library::none, Library::onednn, Library::blas};

/// Calls body(threshold, shapes) with the shapes around each threshold in every setting: for both
/// scalars, any order of the operands, all widths of vectors, with a library and without.
template <class Body>
void for_each_threshold(const Body& body) {
  for (const Threshold* threshold : ac::detail::thresholds::all) {
    for (const ProductSizes& sizes : base_sizes) {
      for (unsigned setting = 0; setting < 3 * 96; ++setting) {
        ProductShape base{sizes.rows,
                          sizes.cols,
                          sizes.inner,
                          (setting & 1) != 0,
                          (setting & 2) != 0,
                          (setting & 4) != 0,
                          (setting & 8) != 0 ? 2 : 1,
                          (setting & 16) != 0 ? 4 : 8,
                          libraries[setting / 32 % 3]};
        base.vector = Index{16} << setting / 96;
        base.has_native = base.library != Library::none && base.scalar_bytes == 4;
        base.has_avx512 = base.vector != 32;
        body(*threshold, shapes_around(*threshold, base));
      }
    }
  }
}

/// Shapes around all thresholds, each once, of at most so many multiply-adds.
template <class Scalar>
std::vector<ProductShape> shapes_of_build(Index most_work) {
  std::set<std::tuple<Index, Index, Index>> known;
  std::vector<ProductShape> result;
  for (const Threshold* threshold : ac::detail::thresholds::all) {
    for (const ProductSizes& sizes : base_sizes) {
      ProductShape base{sizes.rows,
                        sizes.cols,
                        sizes.inner,
                        true,
                        true,
                        true,
                        2,
                        Index{sizeof(Scalar)},
                        ac::detail::product_library<Scalar>};
      base.has_native = ac::detail::has_native_beside_library<Scalar>;
      base.has_avx512 = ac::detail::native::Avx512Gemm::is_usable();
      for (const ProductShape& shape : shapes_around(*threshold, base)) {
        const Index widest = (std::max)({shape.rows * shape.inner, shape.inner * shape.cols,
                                         shape.rows * shape.inner * shape.cols});
        if (widest <= most_work && known.emplace(shape.rows, shape.cols, shape.inner).second) {
          result.push_back(shape);
        }
      }
    }
  }
  return result;
}

/// Runs a product of this shape, in every order of its operands, by the routes that fit and for
/// which wanted(route, shape).
template <class Scalar, class Wanted>
void check_routes(Index most_work, std::set<Route>& seen, const Wanted& wanted) {
  WholeNumbers<Scalar> numbers(most_work + 1000);
  ac::Device<ac::Cpu> device;
  device.set_threads(2);
  for (ProductShape shape : shapes_of_build<Scalar>(most_work)) {
    for (const int orders : {0, 1, 2, 3}) {
      shape.a_in_columns = (orders & 1) == 0;
      shape.b_in_columns = (orders & 2) == 0;
      const View<const Scalar> a = numbers.operand(shape.rows, shape.inner, shape.a_in_columns, 1);
      const View<const Scalar> b = numbers.operand(shape.inner, shape.cols, shape.b_in_columns, 2);
      for (const Route way : routes) {
        if (!fits(way, shape) || !wanted(way, shape)) {
          continue;
        }
        seen.insert(way);
        CAPTURE(static_cast<int>(way));
        CAPTURE(shape.rows);
        CAPTURE(shape.cols);
        CAPTURE(shape.inner);
        CAPTURE(orders);
        numbers.check({a, b}, [&](Scalar alpha, Scalar beta, const View<Scalar>& c) {
          ProductShape its = shape;
          its.adds = beta != Scalar{0};
          CpuProducts::compute(way, spread(way, its), device, alpha, a, b, beta, c);
          return true;
        });
      }
    }
  }
}

} // namespace

TEST_CASE("a route fits the product that takes it") {
  for_each_threshold([](const Threshold& threshold, const std::vector<ProductShape>& shapes) {
    for (const ProductShape& shape : shapes) {
      if (!fits(route(shape), shape)) {
        CAPTURE(std::string(threshold.decides));
        FAIL_CHECK("rows " << shape.rows << ", columns " << shape.cols << ", inner "
                           << shape.inner);
      }
    }
  });
}

TEST_CASE("a route, and its threads, follow from the sizes by each threshold of the table") {
  // What kernels and providers ask themselves.
  using namespace ac::detail::thresholds;
  std::set<const Threshold*> without_effect = {&eigen_work, &eigen_inner, &avx512_work,
                                               &amx_work,   &team_work,   &gemv_pass};
  const std::size_t elsewhere = without_effect.size();
  std::set<const Threshold*> decided;
  for_each_threshold([&](const Threshold& threshold, const std::vector<ProductShape>& shapes) {
    for (std::size_t i = 1; i < shapes.size(); ++i) {
      const auto way = [](const ProductShape& s) {
        const Route chosen = route(s);
        return std::pair{chosen, spread(chosen, s)};
      };
      if (i % 3 != 0 && way(shapes[i]) != way(shapes[i - 1])) {
        decided.insert(&threshold);
      }
    }
  });
  for (const Threshold* threshold : all) {
    CAPTURE(std::string(threshold->decides));
    CHECK((decided.count(threshold) != 0 || without_effect.count(threshold) != 0));
    CHECK(threshold->value > 0);
    CHECK(std::string(threshold->measured).find("benchmarks/") != std::string::npos);
  }
  CHECK(decided.size() + elsewhere >= std::size(all));
}

TEST_CASE_TEMPLATE("products on both sides of every threshold take in each entry once", Scalar,
                   float, double) {
  std::set<Route> seen;
  check_routes<Scalar>(Index{5} << 19, seen,
                       [](Route way, const ProductShape& shape) { return way == route(shape); });
  // A threshold that sends nothing to a route any more leaves it without a test.
  for (const Route way : routes) {
    if (way != Route::native) { // its results are larger than these
      CAPTURE(static_cast<int>(way));
      CHECK(seen.count(way) == 1);
    }
  }
}

TEST_CASE("what a library is slow at is this library's, by the vectors of the processor") {
  if (!ac::detail::has_native_beside_library<float>) {
    MESSAGE("skipped: no product library");
    return;
  }
  ac::Device<ac::Cpu> device;
  device.set_threads(2);
  WholeNumbers<float> numbers(1 << 18);
  const auto check = [&](Index rows, Index inner, Index cols, bool has_avx512) {
    for (const int orders : {0, 1, 2, 3}) {
      const auto a = numbers.operand(rows, inner, (orders & 1) != 0, 1);
      const auto b = numbers.operand(inner, cols, (orders & 2) != 0, 2);
      numbers.check({a, b}, [&](float alpha, float beta, const View<float>& c) {
        ProductShape shape = shape_of(device, a, b, beta, c, Library::onednn);
        shape.vector = has_avx512 ? 64 : 32;
        shape.has_avx512 = has_avx512;
        CHECK(route(shape) == Route::provider);
        shape.has_native = true;
        const bool pays = has_avx512 || a.is_column_major();
        CHECK(route(shape) == (pays ? Route::native : Route::provider));
        CpuProducts::compute(Route::native, {}, device, alpha, a, b, beta, c);
        return true;
      });
    }
  };
  check(1550, ac::detail::outer_depth + 1, 1540, true);
  check(1100, 120, 70, false);
}

TEST_CASE_TEMPLATE("so do those that another route would compute faster", Scalar, float, double) {
  std::set<Route> seen;
  check_routes<Scalar>(Index{1} << 16, seen, [](Route, const ProductShape&) { return true; });
}

TEST_CASE_TEMPLATE("gemm is the route that fits, whatever the order of the result", Scalar, float,
                   double) {
  WholeNumbers<Scalar> numbers(1 << 19);
  ac::Device<ac::Cpu> device;
  for (const ProductSizes& sizes : base_sizes) {
    for (const int orders : {0, 1, 2, 3}) {
      const auto a = numbers.operand(sizes.rows, sizes.inner, (orders & 1) != 0, 1);
      const auto b = numbers.operand(sizes.inner, sizes.cols, (orders & 2) != 0, 2);
      numbers.check({a, b}, [&](Scalar alpha, Scalar beta, const View<Scalar>& c) {
        CpuProducts::gemm(device, alpha, a, b, beta, c);
        return true;
      });
      numbers.check({b.transposed(), a.transposed()},
                    [&](Scalar alpha, Scalar beta, const View<Scalar>& c) {
                      CpuProducts::gemm(device, alpha, a, b, beta, c.transposed());
                      return true;
                    });
    }
  }
}

TEST_CASE("ranges of threads hold every place once, in whole grains") {
  for (const int threads : {1, 2, 3, 16, 100}) {
    for (const Index grain : {1, 4, 48, 4096}) {
      for (const Index count : {0, 1, 3, 47, 48, 49, 95, 96, 97, 1000, 10007}) {
        std::vector<int> times(static_cast<std::size_t>(count), 0);
        std::vector<Index> begins(static_cast<std::size_t>(count), 0);
        ac::detail::parallel_ranges(threads, count, grain, [&](Index first, Index length) {
          begins[static_cast<std::size_t>(first)] = first % grain;
          for (Index i = first; i < first + length; ++i) {
            ++times[static_cast<std::size_t>(i)];
          }
        });
        CHECK(times == std::vector<int>(static_cast<std::size_t>(count), 1));
        CHECK(begins == std::vector<Index>(static_cast<std::size_t>(count), 0));
      }
    }
  }
}
