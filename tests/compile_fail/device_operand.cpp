// SPDX-License-Identifier: MIT
// expected error: accrete: an Eigen object lies in host memory, which this backend does not read
#include <accrete/accrete.hpp>

struct Remote : accrete::detail::DeviceStorage<Remote> {
  static constexpr const char* name = "remote";
};

#ifdef ACCRETE_EXPECT_OK
using Backend = accrete::Cpu;
#else
using Backend = Remote;
#endif

auto product(const Eigen::MatrixXf& a, const Eigen::MatrixXf& b) {
  return accrete::lazy<Backend>(a) * b;
}
