// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// A GPU as the current one of this thread, until the end of the scope.
class CurrentCuda {
 public:
  explicit CurrentCuda(int ordinal) {
    check_cuda(cudaGetDevice(&before_), "cudaGetDevice");
    changes_ = before_ != ordinal;
    if (changes_) {
      check_cuda(cudaSetDevice(ordinal), "cudaSetDevice", {ordinal});
    }
  }
  CurrentCuda(const CurrentCuda&) = delete;
  CurrentCuda& operator=(const CurrentCuda&) = delete;
  ~CurrentCuda() {
    if (changes_) {
      cudaSetDevice(before_);
    }
  }

 private:
  int before_ = 0;
  bool changes_ = false;
};

/// The GPU of a context, by its number, and of what memory it is known that it lies there. Asking
/// CUDA takes as long as a part of a launch, so each address is asked about once; where there is
/// one GPU, never.
class CudaOrdinal {
 public:
  /// The current one.
  CudaOrdinal() {
    int count = 0;
    check_cuda(cudaGetDevice(&number_), "cudaGetDevice");
    check_cuda(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    if (count > 1) {
      known_ = std::make_unique<const void*[]>(std::size_t{1} << bits);
    }
  }

  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] bool is_alone() const noexcept { return known_ == nullptr; }

  /// @throws ArgumentError for memory of another GPU. What another GPU is given at an address that
  /// was of this one before is not noticed.
  template <class Scalar, class Space>
  void check(const View<Scalar, Space>& view) const {
    if (is_alone() || view.empty()) {
      return;
    }
    constexpr std::uint64_t factor = 0x9E3779B97F4A7C15U;
    const std::uint64_t hash = reinterpret_cast<std::uintptr_t>(view.data) * factor;
    const void*& known = known_[hash >> (64 - bits)];
    if (known != view.data) {
      ask(view.data, view.rows, view.cols);
      known = view.data;
    }
  }

 private:
  // Operands of a step of a large model, in 32 KB.
  static constexpr int bits = 12;

  void ask(const void* address, Index rows, Index cols) const {
    cudaPointerAttributes attributes{};
    check_cuda(cudaPointerGetAttributes(&attributes, address), "cudaPointerGetAttributes");
    if (attributes.type == cudaMemoryTypeDevice && attributes.device != number_) {
      const std::string there = std::to_string(attributes.device);
      ACCRETE_THROW ArgumentError(
          "a " + shape_text(rows, cols) + " operand or result lies on GPU " + there +
          ", but the context works on GPU " + std::to_string(number_) + "; make a context of GPU " +
          there +
          " the current one (ScopedContext), or copy the matrix with to_host() there and "
          "from_host() here");
    }
  }

  int number_ = 0;
  std::unique_ptr<const void*[]> known_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
