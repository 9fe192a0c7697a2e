// SPDX-License-Identifier: MIT
#include <accrete/cuda.hpp>

#include <algorithm>
#include <array>
#include <cstdio>

namespace ac = accrete;

/// (W0 + U Vᵀ) X by the GPU and by the host.
static bool products_agree() {
  const Eigen::MatrixXf W0 = Eigen::MatrixXf::Random(40, 30);
  const Eigen::MatrixXf U = Eigen::MatrixXf::Random(40, 3);
  const Eigen::MatrixXf V = Eigen::MatrixXf::Random(30, 3);
  const Eigen::MatrixXf X = Eigen::MatrixXf::Random(30, 7);
  const auto to_device = [](const Eigen::MatrixXf& matrix) {
    return ac::from_host<ac::Cuda>(matrix);
  };
  const ac::CumulativeUpdate<float, ac::Cuda> W(
      to_device(W0), ac::LowRankMatrix<float, ac::Cuda>(to_device(U), to_device(V)));
  const Eigen::MatrixXf result = ac::to_host(W * to_device(X));
  const Eigen::MatrixXf expected = (W0 + ac::outer(U, V)) * X;
  return (result - expected).norm() <= 1e-5F * expected.norm();
}

int main() {
  try {
    const bool ok = products_agree();
    std::printf("on the GPU: %s\n", ok ? "right" : "wrong");
    return ok ? 0 : 1;
  } catch (const ac::CudaError& error) {
    // Without a device: no driver, no device, or a stub of the driver.
    const std::array<int, 3> expected{cudaErrorInsufficientDriver, cudaErrorNoDevice,
                                      cudaErrorStubLibrary};
    std::printf("skipped: %s\n", error.what());
    return std::find(expected.begin(), expected.end(), error.status()) != expected.end() ? 0 : 1;
  }
}
