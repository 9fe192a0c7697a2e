// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/accrete.hpp>
#include <accrete/bfloat16.hpp>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>

// A device that is none: the kernels of the reference backend behind addresses that the host cannot
// read. What holds for it holds for any device that keeps the contract of docs/architecture.md.

namespace remote {

struct Remote : accrete::detail::DeviceStorage<Remote> {
  static constexpr const char* name = "remote";
};

/// Hands out addresses of pages that nobody may touch, and knows the memory that stands for them.
/// No address is given twice, so that one which was given back is noticed as well.
class RemoteMemory : public accrete::MemoryResource {
 public:
  RemoteMemory() {
    void* const pages =
        mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
      throw std::bad_alloc();
    }
    first_ = reinterpret_cast<std::uintptr_t>(pages);
    next_ = first_;
  }
  ~RemoteMemory() override { munmap(reinterpret_cast<void*>(first_), reserved); }

  void* allocate(std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    const std::size_t taken = (bytes + accrete::memory_alignment) / accrete::memory_alignment *
                              accrete::memory_alignment; // a gap between neighbours at least
    if (next_ + taken > first_ + reserved) {
      throw std::bad_alloc();
    }
    auto memory = std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(
        ::operator new(bytes, std::align_val_t{accrete::memory_alignment})));
    blocks_.emplace(next_, Block{std::move(memory), bytes});
    return reinterpret_cast<void*>(std::exchange(next_, next_ + taken));
  }
  void deallocate(void* memory, std::size_t bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto block = blocks_.find(reinterpret_cast<std::uintptr_t>(memory));
    if (block == blocks_.end() || block->second.bytes != bytes) {
      std::terminate(); // given back twice, or another number of bytes
    }
    blocks_.erase(block);
  }

  /// What stands for the bytes from `first` to `last`. @throws std::logic_error unless they lie in
  /// one block that is in use.
  [[nodiscard]] std::byte* local(std::uintptr_t first, std::uintptr_t last) const {
    const std::lock_guard lock(mutex_);
    auto block = blocks_.upper_bound(first);
    if (block == blocks_.begin() || (--block, last > block->first + block->second.bytes)) {
      throw std::logic_error("remote: a kernel was given " + std::to_string(last - first) +
                             " bytes that are not in use on this device");
    }
    return block->second.memory.get() + (first - block->first);
  }
  [[nodiscard]] std::size_t blocks() const {
    const std::lock_guard lock(mutex_);
    return blocks_.size();
  }

 private:
  static constexpr std::size_t reserved = std::size_t{1} << 40;

  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete(memory, std::align_val_t{accrete::memory_alignment});
    }
  };
  struct Block {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t bytes;
  };

  mutable std::mutex mutex_;
  std::map<std::uintptr_t, Block> blocks_;
  std::uintptr_t first_ = 0;
  std::uintptr_t next_ = 0;
};

/// The device of a backend `Tag`.
template <class Tag>
class RemoteDevice {
 public:
  /// Shares the memory of all devices made so, as contexts of one GPU do.
  RemoteDevice() : RemoteDevice(default_memory()) {}
  explicit RemoteDevice(std::shared_ptr<RemoteMemory> memory)
      : memory_(std::move(memory)), workspace_(accrete::Memory<Tag>(memory_)) {}

  [[nodiscard]] accrete::Memory<Tag> memory() const { return accrete::Memory<Tag>(memory_); }
  [[nodiscard]] accrete::Arena<Tag>& workspace() noexcept { return workspace_; }
  [[nodiscard]] static int threads() noexcept { return 1; }
  /// One thread is all that there is.
  static void set_threads(int) noexcept {}

  /// The device that computes.
  [[nodiscard]] accrete::Device<accrete::Reference>& host() noexcept { return host_; }
  /// An argument of a kernel as the host reads it.
  template <class Scalar>
  [[nodiscard]] accrete::View<Scalar> local(const accrete::View<Scalar, Tag>& view) const {
    Scalar* data = nullptr;
    if (!view.empty()) {
      data =
          reinterpret_cast<Scalar*>(memory_->local(reinterpret_cast<std::uintptr_t>(view.data),
                                                   reinterpret_cast<std::uintptr_t>(view.end())));
    }
    return {data, view.rows, view.cols, view.stride, view.order};
  }
  template <class Argument>
  [[nodiscard]] const Argument& local(const Argument& argument) const {
    return argument;
  }

 private:
  static const std::shared_ptr<RemoteMemory>& default_memory() {
    static const auto memory = std::make_shared<RemoteMemory>();
    return memory;
  }

  std::shared_ptr<RemoteMemory> memory_;
  accrete::Arena<Tag> workspace_;
  accrete::Device<accrete::Reference> host_;
};

/// One kernel of a table of the reference backend.
#define ACCRETE_TEST_FORWARD(Table, kernel)                                                        \
  template <class... Arguments>                                                                    \
  static auto kernel(accrete::Device<Tag>& device, const Arguments&... arguments) {                \
    return accrete::Table::kernel(device.host(), device.local(arguments)...);                      \
  }

template <class Tag>
struct RemoteBfloat16Kernels {
  template <class Scalar>
  static const char* product_provider() noexcept {
    return "loops";
  }
  ACCRETE_TEST_FORWARD(detail::Bfloat16Kernels<accrete::Reference>, gemm)
  ACCRETE_TEST_FORWARD(detail::Bfloat16Kernels<accrete::Reference>, gemv)
  ACCRETE_TEST_FORWARD(detail::Bfloat16Kernels<accrete::Reference>, combine)
  ACCRETE_TEST_FORWARD(detail::Bfloat16Kernels<accrete::Reference>, fill)
};

template <class Tag>
struct RemoteKernels {
  template <class Scalar>
  static const char* product_provider() noexcept {
    return "loops";
  }
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, gemm)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, gemv)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, combine)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, fill)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, hadamard)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, absolute)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, map)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, dot)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, squared_norm)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, all_finite)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, scale_columns)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, column_norms)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, add_diagonal)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, gather_columns)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, scatter_add_columns)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, add_row_sums)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, khatri_rao)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, thin_qr)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, svd)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, cholesky_qr)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, adamw_update)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, fill_normal)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, fill_uniform)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, upload)
  ACCRETE_TEST_FORWARD(Kernels<accrete::Reference>, download)
};

#undef ACCRETE_TEST_FORWARD

} // namespace remote

namespace accrete {

template <>
class Device<remote::Remote> : public remote::RemoteDevice<remote::Remote> {
 public:
  using RemoteDevice::RemoteDevice;
};
template <>
struct Kernels<remote::Remote> : remote::RemoteKernels<remote::Remote> {};
template <>
struct detail::Bfloat16Kernels<remote::Remote> : remote::RemoteBfloat16Kernels<remote::Remote> {};

} // namespace accrete
