// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/device.hpp>

#ifdef __CUDACC__
#include <cub/device/device_for.cuh>
#include <cub/device/device_reduce.cuh>
#include <cuda/std/tuple>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#else
// Without a device a test supplies fake_cuda::launch and fake_cuda::local.
#include <fake_cuda.hpp>

#include <tuple>
#endif

ACCRETE_BEGIN_NAMESPACE

// How work is spread over a device: a function of a position and of matrices, called for each
// position. The matrices arrive as the processor that executes reads them.
namespace detail {

#ifdef __CUDACC__

template <class T>
ACCRETE_DEVICE_TOO const T& on_processor(const T& argument) {
  return argument;
}
template <class Scalar>
ACCRETE_DEVICE_TOO View<Scalar> on_processor(const View<Scalar, Cuda>& view) {
  return {view.data, view.rows, view.cols, view.stride, view.order};
}

template <class Function, class... Arguments>
struct BoundCall {
  Function function;
  ::cuda::std::tuple<Arguments...> arguments;

  ACCRETE_DEVICE_TOO auto operator()(Index position) const {
    return ::cuda::std::apply(
        [&](const Arguments&... a) { return function(position, on_processor(a)...); }, arguments);
  }
};

template <class Function, class... Arguments>
BoundCall<Function, Arguments...> bound_call(Function function, const Arguments&... arguments) {
  return {function, ::cuda::std::tuple<Arguments...>(arguments...)};
}

/// function(position, arguments...) for each position below `count`, in any order.
template <class Function, class... Arguments>
void for_each_position(cudaStream_t stream, const char* name, Index count, Function function,
                       const Arguments&... arguments) {
  if (count > 0) {
    check_cuda(cub::DeviceFor::Bulk(count, bound_call(function, arguments...), stream), name,
               {count});
  }
}

template <class Iterator>
std::size_t bytes_of_sum(Iterator values, Index count) {
  std::size_t bytes = 0;
  check_cuda(cub::DeviceReduce::Sum(nullptr, bytes, values, static_cast<double*>(nullptr), count),
             "cub::DeviceReduce::Sum", {count});
  return bytes;
}

/// *sum = Σ function(position, arguments...), always in the same order.
template <class Function, class... Arguments>
void sum_positions(cudaStream_t stream, const char* name, Index count, double* sum, void* scratch,
                   std::size_t bytes, Function function, const Arguments&... arguments) {
  const auto values = thrust::make_transform_iterator(thrust::counting_iterator<Index>(0),
                                                      bound_call(function, arguments...));
  check_cuda(cub::DeviceReduce::Sum(scratch, bytes, values, sum, count, stream), name, {count});
}

/// What sum_positions needs for as many positions, whatever is summed.
inline std::size_t sum_scratch(Index count) {
  return bytes_of_sum(thrust::counting_iterator<double>(0), count);
}

#else

template <class T>
const T& on_processor(const T& argument) {
  return argument;
}
template <class Scalar>
View<Scalar> on_processor(const View<Scalar, Cuda>& view) {
  Scalar* const data =
      view.empty() ? nullptr
                   : fake_cuda::local(view.data, static_cast<std::size_t>(view.end() - view.data));
  return {data, view.rows, view.cols, view.stride, view.order};
}
template <class T>
T* on_processor(T* const& pointer) {
  return fake_cuda::local(pointer);
}

template <class Function, class... Arguments>
void for_each_position(cudaStream_t stream, const char* name, Index count, Function function,
                       const Arguments&... arguments) {
  if (count > 0) {
    const auto body = [=] {
      const std::tuple<decltype(on_processor(arguments))...> here(on_processor(arguments)...);
      for (Index position = 0; position < count; ++position) {
        std::apply([&](const auto&... a) { function(position, a...); }, here);
      }
    };
    check_cuda(fake_cuda::launch(stream, name, body), name, {count});
  }
}

template <class Function, class... Arguments>
void sum_positions(cudaStream_t stream, const char* name, Index count, double* sum, void*,
                   std::size_t, Function function, const Arguments&... arguments) {
  const auto body = [=] {
    const std::tuple<decltype(on_processor(arguments))...> here(on_processor(arguments)...);
    double result = 0;
    for (Index position = 0; position < count; ++position) {
      result += std::apply([&](const auto&... a) { return function(position, a...); }, here);
    }
    *fake_cuda::local(sum) = result;
  };
  check_cuda(fake_cuda::launch(stream, name, body), name, {count});
}

inline std::size_t sum_scratch(Index) { return 1; }

#endif

} // namespace detail

ACCRETE_END_NAMESPACE
