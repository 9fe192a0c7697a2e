// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/launches.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Whether the entries of each column lie side by side.
template <class Scalar, class Space>
bool has_columns(const View<Scalar, Space>& view) noexcept {
  return view.rows <= 1 || view.row_step() == 1;
}

/// to <- from, of which one lies on the host, by one copy. Whether there is one: not from columns
/// to rows.
template <class To, class ToSpace, class From, class FromSpace>
bool cuda_copy(Device<Cuda>& device, const View<To, ToSpace>& to, const View<From, FromSpace>& from,
               cudaMemcpyKind kind) {
  const auto pitch = [](const auto& view) {
    return static_cast<std::size_t>((std::max)(view.col_step(), view.rows)) * sizeof(To);
  };
  if (has_columns(to) && has_columns(from)) {
    check_cuda(cudaMemcpy2DAsync(to.data, pitch(to), from.data, pitch(from),
                                 static_cast<std::size_t>(to.rows) * sizeof(To),
                                 static_cast<std::size_t>(to.cols), kind, device.stream()),
               "cudaMemcpy2DAsync", {to.rows, to.cols});
    return true;
  }
  const auto to_rows = to.transposed();
  const auto from_rows = from.transposed();
  return has_columns(to_rows) && has_columns(from_rows) &&
         cuda_copy(device, to_rows, from_rows, kind);
}

/// A dense temporary in the order of a view of the host.
template <class Scalar, class HostScalar>
View<Scalar, Cuda> cuda_dense_as(Frame<Cuda>& frame, const View<HostScalar>& host) {
  return has_columns(host) ? frame.matrix<Scalar>(host.rows, host.cols)
                           : frame.matrix<Scalar>(host.cols, host.rows).transposed();
}

/// c <- a matrix of the host, which a copy on the stream reads: at once if it is pageable.
template <class Scalar>
void cuda_send(Device<Cuda>& device, const View<const Scalar>& host, const View<Scalar, Cuda>& c) {
  device.check_reachable(c);
  if (c.empty() || cuda_copy(device, c, host, cudaMemcpyHostToDevice)) {
    return;
  }
  Frame<Cuda> frame(device.workspace());
  const auto dense = cuda_dense_as<Scalar>(frame, host);
  cuda_copy(device, dense, host, cudaMemcpyHostToDevice);
  CudaLaunches<Scalar>::template combine<Scalar>(device.stream(), 1, dense, 0, c);
}

/// A matrix of the host <- a, by a copy on the stream, which has ended at once if it is pageable.
template <class Scalar>
void cuda_receive(Device<Cuda>& device, const View<const Scalar, Cuda>& a,
                  const View<Scalar>& host) {
  device.check_reachable(a);
  if (a.empty() || cuda_copy(device, host, a, cudaMemcpyDeviceToHost)) {
    return;
  }
  Frame<Cuda> frame(device.workspace());
  const auto dense = cuda_dense_as<Scalar>(frame, host);
  CudaLaunches<Scalar>::template combine<Scalar>(device.stream(), 1, a, 0, dense);
  cuda_copy(device, host, dense, cudaMemcpyDeviceToHost);
}

/// c <- a dense column-major array of the host, which may change as soon as this returns.
template <class Scalar>
void cuda_upload(Device<Cuda>& device, const Scalar* host, const View<Scalar, Cuda>& c) {
  cuda_send(device, dense_view(host, c.rows, c.cols), c);
}

/// A dense column-major array of the host <- a. Waits for the stream.
template <class Scalar>
void cuda_download(Device<Cuda>& device, const View<const Scalar, Cuda>& a, Scalar* host) {
  if (!a.empty()) {
    cuda_receive(device, a, dense_view(host, a.rows, a.cols));
    device.synchronize();
  }
}

/// @throws ArgumentError unless the memory is page-locked: a copy would not be asynchronous.
template <class Scalar>
void check_pinned(const char* operation, const View<Scalar>& host) {
  const auto is_pinned = [](const void* address) {
    cudaPointerAttributes attributes{};
    check_cuda(cudaPointerGetAttributes(&attributes, address), "cudaPointerGetAttributes");
    return attributes.type == cudaMemoryTypeHost;
  };
  if (!host.empty() && !(is_pinned(host.data) && is_pinned(host.end() - 1))) {
    ACCRETE_THROW ArgumentError(std::string(operation) + " of a " +
                                shape_text(host.rows, host.cols) +
                                " matrix of the host that is not page-locked: the host would have "
                                "to wait; use a PinnedMatrix, lock its memory (cudaHostRegister), "
                                "or copy it with from_host() and to_host()");
  }
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
