// SPDX-License-Identifier: MIT
// What tests/debugger/CMakeLists.txt has gdb print.
#include <accrete/accrete.hpp>

namespace ac = accrete;

namespace {

void stop_here() {}

} // namespace

int main() {
  Eigen::MatrixXf base(3, 2);
  base << 1, 2, 3, 4, 5, 6;
  ac::CumulativeUpdate<float> W(
      base, ac::LowRankMatrix<float>(Eigen::Vector3f(1, 0, -1), Eigen::Vector2f(2, 3)));
  W.set_scale(0.5F);
  W.reserve(4);
  ac::LowRankMatrix<double> L(Eigen::MatrixXd::Ones(2, 1), Eigen::MatrixXd::Ones(2, 1));
  ac::IncrementalSVD<double> svd(2);
  svd.append_columns(Eigen::MatrixXd::Identity(2, 2) * 3);
  const auto view = ac::view_of(base);
  stop_here();
  return static_cast<int>(W.rank() + L.rank() + svd.rank() + view.rows) == 0 ? 1 : 0;
}
