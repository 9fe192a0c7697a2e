// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/incremental_svd.hpp>

#include <cmath>

namespace ac = accrete;
using ac::Index;

namespace {

template <class S>
Dense<S> orthonormal(Index rows, Index cols, unsigned seed) {
  return ac::thin_qr(random_matrix<S>(rows, cols, seed)).Q;
}

} // namespace

TEST_CASE_TEMPLATE("20,000 x 500 in blocks: values and error within the bound", S, float, double) {
  constexpr Index rows = 20000;
  constexpr Index cols = 500;
  constexpr Index terms = 60;
  Eigen::VectorX<S> spectrum(terms);
  for (Index j = 0; j < terms; ++j) {
    spectrum[j] = static_cast<S>(std::pow(0.9, static_cast<double>(j)));
  }
  const Dense<S> left = orthonormal<S>(rows, terms, 1) * spectrum.asDiagonal();
  const Dense<S> x = left * orthonormal<S>(cols, terms, 2).transpose();
  for (const Index max_rank : {40, 80}) {
    CAPTURE(max_rank);
    ac::IncrementalSVD<S> svd(rows, {.max_rank = max_rank, .check_every = 2});
    for (Index first = 0; first < cols; first += 64) { // the last block has 52 columns
      svd.append_columns(x.middleCols(first, std::min<Index>(64, cols - first)));
    }
    const Index rank = svd.rank();
    CHECK(rank == std::min(max_rank, terms));
    const Eigen::VectorXd values = svd.singular_values();
    const Dense<S> scaled = svd.U() * values.template cast<S>().asDiagonal();
    const double error = static_cast<double>((x - scaled * svd.V().transpose()).norm());
    CHECK(error <= svd.error_bound());
    // Mirsky; the planted factors are orthonormal to a few epsilons.
    Eigen::VectorXd difference = spectrum.template cast<double>();
    difference.head(rank) -= values;
    const double planted = 50 * static_cast<double>(std::numeric_limits<S>::epsilon());
    CHECK(difference.norm() <=
          svd.error_bound() + planted * spectrum.template cast<double>().norm());
    CHECK(svd.orthogonality() < (sizeof(S) == 8 ? 1e-12 : 1e-5));
  }
}
