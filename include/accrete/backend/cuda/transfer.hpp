// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/launches.hpp>

#include <algorithm>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Copies of one column-major matrix, dense on the host and with its pitch on the device.
template <class Scalar>
void cuda_copy(Device<Cuda>& device, const View<Scalar, Cuda>& of_device, void* to,
               std::size_t to_pitch, const void* from, std::size_t from_pitch,
               cudaMemcpyKind kind) {
  check_cuda(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch,
                               static_cast<std::size_t>(of_device.rows) * sizeof(Scalar),
                               static_cast<std::size_t>(of_device.cols), kind, device.stream()),
             "cudaMemcpy2DAsync", {of_device.rows, of_device.cols});
}

/// From column to column of a column-major view, in bytes.
template <class Scalar>
std::size_t cuda_pitch(const View<Scalar, Cuda>& view) noexcept {
  return static_cast<std::size_t>((std::max)(view.stride, view.rows)) * sizeof(Scalar);
}

/// c <- a dense column-major array of the host, which may change as soon as this returns.
template <class Scalar>
void cuda_upload(Device<Cuda>& device, const Scalar* host, const View<Scalar, Cuda>& c) {
  if (c.empty()) {
    return;
  }
  if (c.is_column_major()) {
    const std::size_t width = static_cast<std::size_t>(c.rows) * sizeof(Scalar);
    return cuda_copy(device, c, c.data, cuda_pitch(c), host, width, cudaMemcpyHostToDevice);
  }
  if (c.rows == 1 || c.cols == 1) {
    return cuda_upload(device, host, c.transposed());
  }
  Frame<Cuda> frame(device.workspace());
  const auto dense = frame.matrix<Scalar>(c.rows, c.cols);
  cuda_upload(device, host, dense);
  CudaLaunches<Scalar>::template combine<Scalar>(device.stream(), 1, dense, 0, c);
}

/// A dense column-major array of the host <- a. Waits for the stream.
template <class Scalar>
void cuda_download(Device<Cuda>& device, const View<const Scalar, Cuda>& a, Scalar* host) {
  if (a.empty()) {
    return;
  }
  if (a.is_column_major()) {
    const std::size_t width = static_cast<std::size_t>(a.rows) * sizeof(Scalar);
    cuda_copy(device, a, host, width, a.data, cuda_pitch(a), cudaMemcpyDeviceToHost);
    return device.synchronize();
  }
  if (a.rows == 1 || a.cols == 1) {
    return cuda_download(device, a.transposed(), host);
  }
  Frame<Cuda> frame(device.workspace());
  const auto dense = frame.matrix<Scalar>(a.rows, a.cols);
  CudaLaunches<Scalar>::template combine<Scalar>(device.stream(), 1, a, 0, dense);
  cuda_download(device, dense.as_const(), host);
}

/// What `launch(sum, scratch, bytes)` writes; the host waits for it.
template <class Scalar, class Launch>
double cuda_sum(Device<Cuda>& device, Index entries, const Launch& launch) {
  if (entries == 0) {
    return 0;
  }
  Frame<Cuda> frame(device.workspace());
  double* const sum = frame.allocate<double>(1);
  const std::size_t bytes = CudaLaunches<Scalar>::sum_bytes(entries);
  void* const scratch = frame.allocate<std::byte>(static_cast<Index>(bytes));
  launch(sum, scratch, bytes);
  return device.downloaded(sum);
}

template <class Scalar>
bool cuda_all_finite(Device<Cuda>& device, const View<const Scalar, Cuda>& a) {
  return cuda_sum<Scalar>(device, a.size(), [&](auto... scratch) {
           CudaLaunches<Scalar>::count_not_finite(device.stream(), a, scratch...);
         }) == 0;
}

} // namespace detail

ACCRETE_END_NAMESPACE
