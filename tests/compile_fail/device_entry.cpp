// SPDX-License-Identifier: MIT
// expected error: accrete: the host cannot read an entry of a device's memory
#include <accrete/accrete.hpp>

struct Remote : accrete::detail::DeviceStorage<Remote> {
  static constexpr const char* name = "remote";
};

#ifdef ACCRETE_EXPECT_OK
using Space = accrete::HostSpace;
#else
using Space = Remote;
#endif

float first(accrete::View<float, Space> a) { return a(0, 0); }
