// SPDX-License-Identifier: MIT
// expected error: Remote
#include <accrete/accrete.hpp>

struct Remote : accrete::detail::DeviceStorage<Remote> {
  static constexpr const char* name = "remote";
};

#ifdef ACCRETE_EXPECT_OK
using Space = accrete::HostSpace;
#else
using Space = Remote;
#endif

void fill(accrete::Device<accrete::Cpu>& device, accrete::View<float, Space> a) {
  accrete::Kernels<accrete::Cpu>::fill(device, 0.0F, a);
}
