// SPDX-License-Identifier: MIT
// expected error: accrete: to_host_async() writes to a matrix of the host that is const
#include <accrete/accrete.hpp>
#include <accrete/matrix/async_host_copy.hpp>

struct Remote : accrete::detail::DeviceStorage<Remote> {
  static constexpr const char* name = "remote";
};
template <>
class accrete::Device<Remote> {
 public:
  static Arena<Remote>& workspace();
};
template <>
struct accrete::Kernels<Remote> {
  template <class Scalar>
  static void download_async(Device<Remote>&, View<const Scalar, Remote>, View<Scalar>);
};

#ifdef ACCRETE_EXPECT_OK
using Host = Eigen::MatrixXf;
#else
using Host = const Eigen::MatrixXf;
#endif

void copy(accrete::Context<Remote>& context, const accrete::Matrix<float, Remote>& a, Host& host) {
  accrete::to_host_async(context, a, host);
}
