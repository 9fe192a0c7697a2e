// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/factor/incremental_svd.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <sstream>
#include <utility>

using accrete::IncrementalSVDOptions;
using accrete::Index;
using accrete::to_host;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using Stream = accrete::IncrementalSVD<S, TestBackend>;

template <class S>
Mat<S> random(Index rows, Index cols, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  return Mat<S>::NullaryExpr(rows, cols, [&] { return static_cast<S>(uniform(generator)); });
}

template <class S>
Eigen::MatrixXd formed(Stream<S>& svd) {
  const Eigen::VectorXd values = svd.singular_values();
  return to_host(svd.U()).template cast<double>() * values.asDiagonal() *
         to_host(svd.V()).template cast<double>().transpose();
}

template <class S>
double distance(Stream<S>& svd, const Mat<S>& x) {
  return (formed(svd) - x.template cast<double>()).stableNorm();
}

Eigen::VectorXd exact_values(const Eigen::MatrixXd& x) {
  return Eigen::JacobiSVD<Eigen::MatrixXd>(x).singularValues();
}

// Mirsky: the singular values differ by no more than the matrices.
template <class S>
void check_state(Stream<S>& svd, const Mat<S>& x) {
  CHECK(svd.rows() == x.rows());
  CHECK(svd.cols() == x.cols());
  const double bound = svd.error_bound();
  CHECK(distance(svd, x) <= bound);
  Eigen::VectorXd values = exact_values(x.template cast<double>());
  for (Index j = 0; j < values.size(); ++j) {
    values[j] -= j < svd.rank() ? svd.singular_values()[j] : 0.0;
  }
  CHECK(values.stableNorm() <= bound + 1e-15 * x.template cast<double>().stableNorm());
  CHECK(svd.orthogonality() < (sizeof(S) == 8 ? 1e-12 : 1e-5));
}

template <class S>
void stream_columns(Stream<S>& svd, const Mat<S>& x, Index width) {
  for (Index first = 0; first < x.cols(); first += width) {
    svd.append_columns(on_backend(x.middleCols(first, std::min(width, x.cols() - first))));
  }
}

template <class S>
Mat<S> planted(const Eigen::VectorXd& values, Index rows, Index cols, unsigned seed) {
  const Index k = values.size();
  const Eigen::MatrixXd u =
      Eigen::HouseholderQR<Eigen::MatrixXd>(random<double>(rows, k, seed)).householderQ() *
      Eigen::MatrixXd::Identity(rows, k);
  const Eigen::MatrixXd v =
      Eigen::HouseholderQR<Eigen::MatrixXd>(random<double>(cols, k, seed + 1)).householderQ() *
      Eigen::MatrixXd::Identity(cols, k);
  return (u * values.asDiagonal() * v.transpose()).template cast<S>();
}

} // namespace

TEST_CASE_TEMPLATE("planted spectra come out within the bound", S, TEST_SCALARS) {
  Eigen::VectorXd geometric(12), arithmetic(12), clustered(12), gap(12);
  for (Index j = 0; j < 12; ++j) {
    geometric[j] = std::pow(0.5, j);
    arithmetic[j] = 12.0 - static_cast<double>(j);
    clustered[j] = j < 6 ? 1 + 1e-3 * static_cast<double>(j) : 0.1;
    gap[j] = j < 4 ? 1 : 1e-5;
  }
  std::vector<Eigen::VectorXd> spectra = {geometric,
                                          arithmetic,
                                          clustered,
                                          gap,
                                          Eigen::VectorXd::Ones(12),
                                          Eigen::VectorXd::Zero(12),
                                          geometric.head(3)};
  if (sizeof(S) == 8) {
    spectra.push_back(1e150 * geometric);
    spectra.push_back(1e-150 * geometric);
  }
  for (std::size_t i = 0; i < spectra.size(); ++i) {
    for (const Index max_rank : {5, 40}) {
      CAPTURE(i);
      CAPTURE(max_rank);
      const Mat<S> x = planted<S>(spectra[i], 30, 22, 7);
      Stream<S> svd(30, {.max_rank = max_rank});
      stream_columns(svd, x, 4); // the last block is narrower
      check_state(svd, x);
      CHECK(svd.rank() <= max_rank);
    }
  }
}

TEST_CASE_TEMPLATE("the error stays below the bound in random streams", S, TEST_SCALARS) {
  for (unsigned seed = 0; seed < 1000; ++seed) {
    CAPTURE(seed);
    std::mt19937 generator(seed);
    const auto pick = [&](int low, int high) {
      return std::uniform_int_distribution<int>(low, high)(generator);
    };
    Mat<S> x = random<S>(pick(3, 14), pick(1, 9), seed);
    Stream<S> svd(x.rows(), {.max_rank = pick(1, 9), .tolerance = seed % 3 == 0 ? 0.05 : 0.0});
    svd.append_columns(on_backend(x));
    for (int step = 0; step < 8; ++step) {
      CAPTURE(step);
      const unsigned next = 100 * seed + static_cast<unsigned>(step);
      const Index width = pick(1, 5);
      switch (pick(0, 5)) {
      case 0: {
        const Mat<S> block = random<S>(x.rows(), width, next);
        svd.append_columns(on_backend(block));
        x = (Mat<S>(x.rows(), x.cols() + width) << x, block).finished();
        break;
      }
      case 1: {
        const Mat<S> block = random<S>(width, x.cols(), next);
        svd.append_rows(on_backend(block));
        x = (Mat<S>(x.rows() + width, x.cols()) << x, block).finished();
        break;
      }
      case 2: {
        const Mat<S> a = random<S>(x.rows(), width, next);
        const Mat<S> b = random<S>(x.cols(), width, next + 7);
        svd.add(on_backend(a), on_backend(b));
        x += a * b.transpose();
        break;
      }
      case 3: {
        const Mat<S> column = random<S>(x.rows(), 1, next);
        svd.revise(x.cols() - 1, on_backend(column));
        x.rightCols(1) = column;
        break;
      }
      case 4:
        if (x.cols() > 1) {
          svd.downdate(0, 1);
          x = Mat<S>(x.rightCols(x.cols() - 1));
        }
        break;
      default:
        svd.forget(0.5);
        x *= S{0.5};
      }
      check_state(svd, x);
    }
  }
}

TEST_CASE_TEMPLATE("structure", S, TEST_SCALARS) {
  const double eps = static_cast<double>(std::numeric_limits<S>::epsilon());
  const Mat<S> x = random<S>(20, 6, 1);
  Stream<S> svd(20);
  svd.append_columns(on_backend(Mat<S>(20, 0)));
  CHECK(svd.rank() == 0);
  stream_columns(svd, x, 4);
  CHECK(svd.rank() == 6);

  Stream<S> twice(20);
  stream_columns(twice, x, 4);
  stream_columns(twice, x, 4);
  CHECK(twice.rank() == 6);
  check_state(twice, Mat<S>((Mat<S>(20, 12) << x, x).finished()));

  Stream<S> back = svd;
  back.append_columns(on_backend(random<S>(20, 3, 2)));
  CHECK(back.rank() == 9);
  back.downdate(6, 3);
  CHECK(back.rank() == 6);
  check_state(back, x);

  const Mat<S> a = x * random<S>(6, 2, 3);
  const Mat<S> b = random<S>(6, 2, 4);
  Stream<S> inside = svd;
  inside.add(on_backend(a), on_backend(b));
  CHECK(inside.rank() == 6);
  check_state(inside, Mat<S>(x + a * b.transpose()));

  Stream<S> other(20);
  const Mat<S> y = random<S>(20, 5, 5);
  other.append_columns(on_backend(y));
  Stream<S> merged = svd;
  merged.merge(other);
  check_state(merged, Mat<S>((Mat<S>(20, 11) << x, y).finished()));

  Stream<S> wide(4, {.max_rank = 2}); // blocks wider than the rank, and than the rows
  const Mat<S> z = random<S>(4, 11, 6);
  wide.append_columns(on_backend(z));
  CHECK(wide.rank() == 2);
  check_state(wide, z);
  CHECK(svd.error_bound() < 1e3 * eps * static_cast<double>(x.norm()));

  Stream<S> without_v(20, {.keep_v = false});
  stream_columns(without_v, x, 4);
  CHECK(without_v.rank() == 6);
  CHECK_THROWS_AS((void)without_v.V(), accrete::ArgumentError);
  CHECK_THROWS_AS(without_v.downdate(0, 1), accrete::ArgumentError);
}

TEST_CASE_TEMPLATE("many rank-1 updates keep the bases orthonormal", S, TEST_SCALARS) {
  Mat<S> x = random<S>(24, 18, 1);
  Stream<S> svd(24, {.max_rank = 6});
  svd.append_columns(on_backend(x));
  for (unsigned i = 0; i < 10000; ++i) {
    svd.forget(0.99);
    svd.add(on_backend(random<S>(24, 1, 2 * i)), on_backend(random<S>(18, 1, 2 * i + 1)));
  }
  CHECK(svd.orthogonality() < (sizeof(S) == 8 ? 1e-12 : 1e-5));
  for (unsigned i = 0; i < 300; ++i) {
    svd.append_columns(on_backend(random<S>(24, 1, i)));
  }
  CHECK(svd.orthogonality() < (sizeof(S) == 8 ? 1e-12 : 1e-5));
}

TEST_CASE("refused operands change nothing") {
  const Mat<double> x = random<double>(7, 5, 1);
  Stream<double> svd(7);
  svd.append_columns(on_backend(x));
  const Eigen::MatrixXd before = formed(svd);
  Mat<double> nan = random<double>(7, 2, 2);
  nan(3, 1) = std::numeric_limits<double>::quiet_NaN();
  const Stored<double> bad = on_backend(nan);
  const auto block = [](Index rows, Index cols) {
    return on_backend(random<double>(rows, cols, 3));
  };
  CHECK_THROWS_AS(svd.append_columns(bad), accrete::NumericError);
  CHECK_THROWS_AS(svd.add(bad, block(5, 2)), accrete::NumericError);
  CHECK_THROWS_AS(svd.revise(1, bad), accrete::NumericError);
  CHECK_THROWS_AS(svd.append_columns(block(6, 1)), accrete::ShapeError);
  CHECK_THROWS_AS(svd.append_rows(block(1, 6)), accrete::ShapeError);
  CHECK_THROWS_AS(svd.add(block(7, 1), block(5, 2)), accrete::ShapeError);
  CHECK_THROWS_AS(svd.downdate(4, 2), accrete::ShapeError);
  CHECK_THROWS_AS(svd.forget(1.5), accrete::ArgumentError);
  CHECK_THROWS_AS(Stream<double>(-1), accrete::ShapeError);
  CHECK(formed(svd) == before);
}

TEST_CASE_TEMPLATE("a state goes on bit for bit", S, TEST_SCALARS) {
  Stream<S> svd(15, {.max_rank = 6, .check_every = 3});
  stream_columns(svd, random<S>(15, 9, 1), 2);
  svd.add(on_backend(random<S>(15, 1, 2)), on_backend(random<S>(9, 1, 3)));
  Stream<S> copy(svd.state());
  for (Stream<S>* each : {&svd, &copy}) {
    each->append_columns(on_backend(random<S>(15, 2, 4)));
    each->append_rows(on_backend(random<S>(1, 11, 5)));
    each->forget(0.5);
  }
  CHECK(copy.singular_values() == svd.singular_values());
  CHECK(copy.error_bound() == svd.error_bound());
  CHECK(to_host(copy.U()) == to_host(svd.U()));
  CHECK(to_host(copy.V()) == to_host(svd.V()));
}

TEST_CASE("states that do not belong together are refused") {
  Stream<double> svd(7);
  svd.append_columns(on_backend(random<double>(7, 4, 1)));
  const auto good = svd.state();
  auto bad = good;
  bad.V.conservativeResize(3, Eigen::NoChange);
  CHECK_THROWS_AS(Stream<double>{bad}, accrete::ShapeError);
  bad = good;
  bad.singular_values.reverseInPlace();
  CHECK_THROWS_AS(Stream<double>{bad}, accrete::NumericError);
  bad = good;
  bad.U(2, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(Stream<double>{bad}, accrete::NumericError);
  bad = good;
  bad.U *= 1.01;
  CHECK_THROWS_AS(Stream<double>{bad}, accrete::NumericError);
  bad = good;
  bad.options.max_rank = 3;
  CHECK_THROWS_AS(Stream<double>{bad}, accrete::RankError);
  bad = good;
  bad.run = 3;
  CHECK_THROWS_AS(Stream<double>{bad}, accrete::ArgumentError);
}

TEST_CASE_TEMPLATE("nothing goes wrong without rows or columns", S, TEST_SCALARS) {
  Stream<S> no_rows(0);
  no_rows.append_columns(on_backend(Mat<S>(0, 3)));
  CHECK(no_rows.cols() == 3);
  no_rows.append_rows(on_backend(Mat<S>::Ones(2, 3)));
  check_state(no_rows, Mat<S>(Mat<S>::Ones(2, 3)));
  Stream<S> no_columns(2);
  no_columns.append_rows(on_backend(Mat<S>(3, 0)));
  CHECK(no_columns.rows() == 5);
  no_columns.append_columns(on_backend(Mat<S>::Ones(5, 2)));
  check_state(no_columns, Mat<S>(Mat<S>::Ones(5, 2)));
}

TEST_CASE_TEMPLATE("narrow updates wait and come out the same", S, TEST_SCALARS) {
  // Single columns at a rank where directions are put off, with the other updates between.
  Mat<S> x = random<S>(40, 24, 1);
  Stream<S> svd(40, {.max_rank = 20});
  svd.append_columns(on_backend(x));
  for (unsigned i = 0; i < 30; ++i) {
    const Mat<S> column = random<S>(40, 1, 10 + i);
    svd.append_columns(on_backend(column));
    x = (Mat<S>(40, x.cols() + 1) << x, column).finished();
    if (i % 7 == 3) {
      const Mat<S> a = random<S>(40, 1, 100 + i);
      const Mat<S> b = random<S>(x.cols(), 1, 200 + i);
      svd.add(on_backend(a), on_backend(b));
      x += a * b.transpose();
    }
    if (i % 11 == 5) {
      svd.downdate(1, 2);
      Mat<S> rest(40, x.cols() - 2);
      rest << x.leftCols(1), x.rightCols(x.cols() - 3);
      x = rest;
    }
    check_state(svd, x);
  }
}

TEST_CASE_TEMPLATE("the unit of the entries does not matter", S, TEST_SCALARS) {
  const Mat<S> x = random<S>(60, 12, 1);
  const Mat<S> a = random<S>(60, 2, 2);
  const Mat<S> b = random<S>(12, 2, 3);
  const auto decompose = [&](S unit) {
    Stream<S> svd(60);
    svd.append_columns(on_backend(x.leftCols(4) * unit));
    svd.append_columns(on_backend(x.rightCols(8) * unit));
    svd.add(on_backend(a * unit), on_backend(b));
    svd.downdate(3, 2); // by QR of U diag(values)
    return svd;
  };
  Stream<S> plain = decompose(S{1});
  const int far = sizeof(S) == 8 ? 530 : 73;
  for (const int exponent : {-far, far}) {
    CAPTURE(exponent);
    const S unit = std::ldexp(S{1}, exponent);
    Stream<S> scaled = decompose(unit);
    REQUIRE(scaled.rank() == plain.rank());
    CHECK(scaled.orthogonality() < (sizeof(S) == 8 ? 1e-13 : 1e-5));
    for (Eigen::Index j = 0; j < plain.rank(); ++j) {
      CHECK(scaled.singular_values()[j] / static_cast<double>(unit) ==
            doctest::Approx(plain.singular_values()[j]).epsilon(sizeof(S) == 8 ? 1e-13 : 1e-5));
    }
  }
}

TEST_CASE("a decomposition that was moved from is 0 x 0") {
  const Mat<double> x = random<double>(6, 5, 1);
  Stream<double> svd(6);
  svd.append_columns(on_backend(x));
  Stream<double> taken = std::move(svd);
  check_state(taken, x);
  CHECK(svd.rows() == 0);
  CHECK(svd.cols() == 0);
  CHECK(svd.rank() == 0);
  CHECK(svd.error_bound() == 0);
  CHECK_THROWS_WITH_AS(
      svd.append_columns(on_backend(x)),
      "accrete: IncrementalSVD append_columns: the block is 6 x 5 but X is 0 x 0; give it 0 rows",
      accrete::ShapeError);
  CHECK(to_host(svd.U()).size() == 0);
  svd = std::move(taken);
  check_state(svd, x);
  const auto U = Stream<double>(svd).U();
  const auto V = Stream<double>(svd).V();
  CHECK(to_host(U) == to_host(svd.U()));
  CHECK(to_host(V) == to_host(svd.V()));
}

TEST_CASE("a refused factor is named with all its digits") {
  Stream<double> svd(3);
  CHECK_THROWS_WITH_AS(
      svd.forget(1.0000001),
      "accrete: IncrementalSVD forget: factor = 1.0000001; give a number in [0, 1]",
      accrete::ArgumentError);
}

TEST_CASE_TEMPLATE("a constant decomposition shows all of itself", S, TEST_SCALARS) {
  const Mat<S> A = Mat<S>::Random(12, 7);
  const Mat<S> B = Mat<S>::Random(12, 4);
  accrete::IncrementalSVD<S, TestBackend> first(12);
  first.append_columns(on_backend(A));
  accrete::IncrementalSVD<S, TestBackend> second(12);
  const Stored<S> b = on_backend(B);
  second.append_columns(b);
  const auto& constant = first;
  const double slack = 200 * std::numeric_limits<S>::epsilon() * static_cast<double>(A.norm());

  const auto values = constant.singular_values().template cast<S>().eval();
  const Mat<S> U = to_host(constant.U());
  CHECK((U * values.asDiagonal() * to_host(constant.V()).transpose() - A).norm() <= slack);
  CHECK((to_host(constant.reconstruct()) - A).norm() <= slack);
  CHECK((to_host(constant.low_rank().U()) * to_host(constant.low_rank().V()).transpose() - A)
            .norm() <= slack);
  CHECK(accrete::LowRankMatrix<S, TestBackend>(constant).rank() == 7);
  const Mat<S> projected = to_host(constant.project(b));
  CHECK((projected - U.transpose() * B).norm() <= slack);
  CHECK((to_host(constant.residual(b)) + U * projected - B).norm() <= slack);
  CHECK(to_host(constant.residual(on_backend(A))).norm() <= slack);
  CHECK(constant.orthogonality() <= slack);
  CHECK(accrete::IncrementalSVD<S, TestBackend>(constant.state()).rank() == 7);
  CHECK_THROWS_AS((void)constant.project(on_backend(A.topRows(3))), accrete::ShapeError);

  second.merge(constant); // which stays as it is
  Mat<S> joined(12, 11);
  joined << B, A;
  CHECK((to_host(second.reconstruct()) - joined).norm() <= 2 * slack);
  CHECK((to_host(constant.reconstruct()) - A).norm() <= slack);

  std::ostringstream text;
  text << accrete::IncrementalSVD<S, TestBackend>(12);
  CHECK(text.str() == "IncrementalSVD 12 x 0, rank 0, error bound 0");
}
