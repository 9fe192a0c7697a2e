// SPDX-License-Identifier: MIT
#include "stored.hpp"

namespace ac = accrete;

namespace {

using Adam = ac::AdamW<double, TestBackend>;
using Plain = ac::SGD<double, TestBackend>;

ac::BasisChange<double> orthonormal_change(Eigen::Index rows, Eigen::Index cols,
                                           Eigen::Index rank) {
  const auto basis = [&](Eigen::Index size, unsigned seed) {
    const Dense<double> a = random_matrix<double>(size, rank, seed);
    return Dense<double>(Eigen::HouseholderQR<Dense<double>>(a).householderQ() *
                         Dense<double>::Identity(size, rank));
  };
  return {basis(rows, 1), basis(cols, 2)};
}

} // namespace

TEST_CASE("transport_core: moments of the core are those of its gradients in the new bases") {
  const auto change = orthonormal_change(5, 4, 3);
  Adam adam(5, 4);
  Plain sgd(5, 4, {.momentum = 0.9});
  auto core = random_stored<double>(5, 4, 3);
  Dense<double> first = Dense<double>::Zero(5, 4), momentum = first;
  for (unsigned step = 0; step < 6; ++step) {
    const Dense<double> gradient = random_matrix<double>(5, 4, 10 + step);
    adam.step(core, on_backend(gradient), 1e-2);
    sgd.step(core, on_backend(gradient), 1e-2);
    first = 0.9 * first + 0.1 * gradient;
    momentum = (step == 0 ? 0.0 : 0.9) * momentum + gradient;
  }
  transport_core(adam, change);
  transport_core(sgd, change);
  CHECK((ac::to_host(adam.first()) - change.left.transpose() * first * change.right).norm() <
        1e-14);
  CHECK((ac::to_host(sgd.momentum()) - change.left.transpose() * momentum * change.right).norm() <
        1e-13);
  CHECK(ac::to_host(adam.second()).minCoeff() >= 0);
  CHECK(adam.rows() == 3);
  CHECK(adam.cols() == 3);
  for (const std::int64_t count : adam.steps()) {
    CHECK(count == 6);
  }
}

TEST_CASE("transport_core: the second moment of a gradient that does not change is exact") {
  const auto change = orthonormal_change(5, 4, 3);
  const Dense<double> gradient = random_matrix<double>(5, 4, 3);
  const Dense<double> moved = change.left.transpose() * gradient * change.right;
  Adam adam(5, 4), fresh(3, 3);
  auto core = random_stored<double>(5, 4, 4), small = random_stored<double>(3, 3, 5);
  for (int step = 0; step < 7; ++step) {
    adam.step(core, on_backend(gradient), 1e-2);
    fresh.step(small, on_backend(moved), 1e-2);
  }
  transport_core(adam, change);
  CHECK((ac::to_host(adam.first()) - ac::to_host(fresh.first())).norm() < 1e-14);
  CHECK((ac::to_host(adam.second()) - ac::to_host(fresh.second())).norm() < 1e-15);
}

TEST_CASE("crop_core: the leading block stays bit for bit") {
  Adam adam(5, 5);
  auto core = random_stored<double>(5, 5, 3);
  for (unsigned step = 0; step < 3; ++step) {
    adam.step(core, random_stored<double>(5, 5, 10 + step), 1e-2);
  }
  const Dense<double> first = ac::to_host(adam.first()), second = ac::to_host(adam.second());
  crop_core(adam, 2);
  CHECK(ac::to_host(adam.first()) == first.topLeftCorner(2, 2));
  CHECK(ac::to_host(adam.second()) == second.topLeftCorner(2, 2));
  CHECK(adam.steps()[1] == 3);
  const ac::BasisChange<double> other = orthonormal_change(4, 2, 2);
  CHECK_THROWS_AS(transport_core(adam, other), ac::ShapeError);
}
