// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/plain_array.hpp>
#include <accrete/backend/memory.hpp>
#include <accrete/backend/view.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// Last-in first-out arena of a memory space: temporaries without allocations once warm.
///
/// Memory is taken through a Frame and returns with it. Pointers stay valid while their frame
/// lives. When the outermost frame closes, a fragmented arena is replaced by one block of the
/// largest size seen, so that the next evaluation of the same shapes allocates nothing.
/// Not thread-safe: one workspace belongs to one thread.
template <class WorkspaceSpace>
class Arena {
 public:
  using Space = WorkspaceSpace;
  static constexpr std::size_t alignment = memory_alignment;

  class Frame {
   public:
    using Space = WorkspaceSpace;

    explicit Frame(Arena& workspace)
        : workspace_(workspace), block_(workspace.block_), offset_(workspace.offset_) {
      ++workspace_.depth_;
    }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    ~Frame() { workspace_.release(block_, offset_); }

    /// `count` uninitialised scalars, aligned to 64 bytes.
    template <class Scalar>
    [[nodiscard]] Scalar* allocate(Index count) {
      return static_cast<Scalar*>(
          workspace_.take(static_cast<std::size_t>(count) * sizeof(Scalar)));
    }
    /// An uninitialised dense matrix.
    template <class Scalar>
    [[nodiscard]] View<Scalar, Space> matrix(Index rows, Index cols) {
      return dense_view<Space>(allocate<Scalar>(rows * cols), rows, cols);
    }

   private:
    Arena& workspace_;
    Index block_;
    std::size_t offset_;
  };

  Arena() = default;
  /// An arena whose blocks come from `memory`.
  explicit Arena(Memory<Space> memory) : memory_(std::move(memory)) {}
  /// No frame of the other is open.
  Arena(Arena&& other) noexcept : memory_(other.memory_), blocks_(std::move(other.blocks_)) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { free_blocks(); }

  /// Bytes held, in use or not.
  [[nodiscard]] std::size_t capacity() const noexcept {
    std::size_t bytes = 0;
    for (const Block& block : blocks_) {
      bytes += block.size;
    }
    return bytes;
  }

 private:
  struct Block {
    std::byte* data;
    std::size_t size;
  };

  void add_block(std::size_t bytes) {
    const Index added = blocks_.push({nullptr, 0});
    blocks_[added] = {static_cast<std::byte*>(memory_.allocate(bytes)), bytes};
  }
  void free_blocks() noexcept {
    for (const Block& block : blocks_) {
      memory_.deallocate(block.data, block.size);
    }
    blocks_.shrink(0);
  }

  void* take(std::size_t bytes) {
    bytes = (bytes + alignment - 1) / alignment * alignment;
    while (block_ < blocks_.size() && offset_ + bytes > blocks_[block_].size) {
      ++block_;
      offset_ = 0;
    }
    if (block_ == blocks_.size()) {
      add_block((std::max)(bytes, capacity()));
    }
    void* p = blocks_[block_].data + offset_;
    offset_ += bytes;
    return p;
  }

  void release(Index block, std::size_t offset) noexcept {
    block_ = block;
    offset_ = offset;
    if (--depth_ == 0 && blocks_.size() > 1) {
      merge_blocks();
    }
  }

  void merge_blocks() noexcept {
    const std::size_t bytes = capacity();
    free_blocks();
    block_ = 0;
    ACCRETE_TRY { add_block(bytes); }
    ACCRETE_CATCH(...) {
      free_blocks(); // the next frame asks again and reports the failure to its caller
    }
  }

  Memory<Space> memory_;
  PlainArray<Block> blocks_;
  Index block_ = 0;
  std::size_t offset_ = 0;
  int depth_ = 0;
};

/// Temporaries in host memory.
using Workspace = Arena<HostSpace>;

namespace detail {

/// This thread's workspace for small host-side matrices, whatever the backend.
inline Workspace& host_workspace() {
  thread_local Workspace workspace;
  return workspace;
}

} // namespace detail

ACCRETE_END_NAMESPACE
