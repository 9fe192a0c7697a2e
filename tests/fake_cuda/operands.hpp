// SPDX-License-Identifier: MIT
#pragma once

#include "streams.hpp"

#include <library_types.h>

#include <Eigen/Core>

#include <cstdint>
#include <initializer_list>

// Matrices of the device as the libraries take them: columns of entries, computed with in double.

namespace fake_cuda::detail {

[[nodiscard]] std::size_t size_of(cudaDataType type);

struct Operand {
  const char* name;
  Address address;
  cudaDataType type;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t ld;

  [[nodiscard]] bool empty() const { return rows == 0 || cols == 0; }
  /// Bytes from the first entry to the last.
  [[nodiscard]] std::size_t extent() const;
  /// The same matrix, some entries further.
  [[nodiscard]] Operand moved(std::int64_t entries) const;

  /// @throws MemoryFault unless all of it lies in one allocation that the host holds.
  void check_held() const;

  // While the work runs:
  [[nodiscard]] Eigen::MatrixXd read() const;
  /// Rounds to the type of the entries.
  void write(const Eigen::MatrixXd& values) const;
};

/// The alias of bytes that the device which runs reaches.
[[nodiscard]] std::byte* working_alias(Address address, std::size_t bytes);

/// Whether two matrices share an entry.
[[nodiscard]] bool overlap(const Operand& left, const Operand& right);
/// @throws MemoryFault if an output shares entries with an input.
void check_apart(const Operand& output, std::initializer_list<Operand> inputs);

/// A number that a call takes by pointer: one of the host, read at the call, or one of the device,
/// read when the work runs.
class Scalar {
 public:
  /// @throws MemoryFault if it is not where the pointer mode says.
  Scalar(const char* name, const void* pointer, bool on_device, cudaDataType type);

  [[nodiscard]] bool is_known_zero() const { return address_ == 0 && value_ == 0; }
  [[nodiscard]] double value() const;

 private:
  Address address_ = 0;
  double value_ = 0;
  cudaDataType type_;
};

/// What a call may use of a workspace holds nothing after it.
void spoil(Address address, std::size_t bytes);

} // namespace fake_cuda::detail
