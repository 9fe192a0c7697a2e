// SPDX-License-Identifier: MIT
// expected error: accrete: this expression has its value in the memory of a device
#include <accrete/accrete.hpp>

struct Remote : accrete::detail::DeviceStorage<Remote> {
  static constexpr const char* name = "remote";
};

#ifdef ACCRETE_EXPECT_OK
using Backend = accrete::Cpu;
#else
using Backend = Remote;
#endif

void product(const accrete::Matrix<float, Backend>& a, const accrete::Matrix<float, Backend>& b,
             Eigen::MatrixXf& c) {
  c = accrete::lazy(a) * b;
}
