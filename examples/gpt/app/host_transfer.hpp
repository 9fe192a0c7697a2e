// SPDX-License-Identifier: MIT
#pragma once

#include "model/finite.hpp"
#include "model/storage.hpp"

#include <accrete/matrix/host_copy.hpp>

#include <deque>
#include <type_traits>

namespace gpt {

/// Tensors as the host reads them: themselves, or copies that live as long as this.
template <class Scalar>
class HostTensors {
 public:
  template <class Space>
  [[nodiscard]] accrete::View<const Scalar> read(accrete::View<const Scalar, Space> tensor) {
    if constexpr (std::is_same_v<Space, accrete::HostSpace>) {
      return tensor;
    } else {
      copies_.push_back(accrete::to_host(tensor));
      return accrete::view_of(copies_.back());
    }
  }

 private:
  std::deque<Matrix<Scalar>> copies_;
};

/// Calls fill(view of host memory) and gives the tensor what it writes there.
template <class Scalar, class Space, class Fill>
void write_tensor(const accrete::View<Scalar, Space>& tensor, const Fill& fill) {
  if constexpr (std::is_same_v<Space, accrete::HostSpace>) {
    fill(tensor);
  } else {
    Matrix<Scalar> values(tensor.rows, tensor.cols);
    fill(accrete::view_of(values));
    accrete::Kernels<Space>::upload(current_device<Space>(), values.data(), tensor);
  }
}

/// Neither NaN nor infinities.
template <class Scalar, class Space>
[[nodiscard]] bool is_finite_tensor(const accrete::View<const Scalar, Space>& tensor) {
  if constexpr (std::is_same_v<Space, accrete::HostSpace>) {
    return all_finite(tensor);
  } else {
    return accrete::Kernels<Space>::template all_finite<Scalar>(current_device<Space>(), tensor);
  }
}

} // namespace gpt
