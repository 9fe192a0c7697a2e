// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

inline void* reallocated(void* memory, std::size_t bytes) {
  void* result = std::realloc(memory, bytes);
  if (result == nullptr) {
    ACCRETE_THROW std::bad_alloc();
  }
  return result;
}

} // namespace detail

/// Growing array of plain values: the little of std::vector that plans need. Every program that
/// includes the library compiles its planner, and each std::vector type in it costs as much
/// compile time as the search itself.
template <class T>
class PlainArray {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  PlainArray() = default;
  PlainArray(const PlainArray& other) { *this = other; }
  PlainArray(PlainArray&& other) noexcept { swap(other); }
  PlainArray& operator=(const PlainArray& other) {
    if (this != &other && other.size_ > 0) {
      reserve(other.size_);
      std::memcpy(static_cast<void*>(data_), other.data_, bytes_of(other.size_));
    }
    size_ = other.size_;
    return *this;
  }
  PlainArray& operator=(PlainArray&& other) noexcept {
    swap(other);
    return *this;
  }
  ~PlainArray() { std::free(data_); }

  [[nodiscard]] Index size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  T& operator[](Index i) noexcept { return data_[i]; }
  const T& operator[](Index i) const noexcept { return data_[i]; }
  [[nodiscard]] const T& front() const noexcept { return data_[0]; }
  [[nodiscard]] T& back() noexcept { return data_[size_ - 1]; }
  [[nodiscard]] const T& back() const noexcept { return data_[size_ - 1]; }
  [[nodiscard]] T* begin() noexcept { return data_; }
  [[nodiscard]] T* end() noexcept { return data_ + size_; }
  [[nodiscard]] const T* begin() const noexcept { return data_; }
  [[nodiscard]] const T* end() const noexcept { return data_ + size_; }

  /// Appends a copy and returns its index. By value, since `value` may lie in this array.
  Index push(T value) {
    if (size_ == capacity_) {
      reserve(2 * capacity_ + 8);
    }
    data_[size_] = value;
    return size_++;
  }
  /// Drops what lies beyond the first `size` entries.
  void shrink(Index size) noexcept { size_ = size; }

  bool operator==(const PlainArray& other) const {
    if (size_ != other.size_) {
      return false;
    }
    for (Index i = 0; i < size_; ++i) {
      if (!(data_[i] == other.data_[i])) {
        return false;
      }
    }
    return true;
  }

 private:
  static std::size_t bytes_of(Index count) noexcept {
    return static_cast<std::size_t>(count) * sizeof(T);
  }
  void reserve(Index capacity) {
    if (capacity > capacity_) {
      data_ = static_cast<T*>(detail::reallocated(data_, bytes_of(capacity)));
      capacity_ = capacity;
    }
  }
  void swap(PlainArray& other) noexcept {
    T* data = data_;
    const Index size = size_;
    const Index capacity = capacity_;
    data_ = other.data_;
    size_ = other.size_;
    capacity_ = other.capacity_;
    other.data_ = data;
    other.size_ = size;
    other.capacity_ = capacity;
  }

  T* data_ = nullptr;
  Index size_ = 0;
  Index capacity_ = 0;
};

ACCRETE_END_NAMESPACE
