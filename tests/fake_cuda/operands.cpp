// SPDX-License-Identifier: MIT
#include "operands.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace fake_cuda::detail {
namespace {

double read_entry(const std::byte* at, cudaDataType type) {
  if (type == CUDA_R_64F) {
    double value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::uint32_t bits = 0;
  if (type == CUDA_R_16BF) {
    std::uint16_t half = 0;
    std::memcpy(&half, at, sizeof half);
    bits = std::uint32_t{half} << 16;
  } else {
    std::memcpy(&bits, at, sizeof bits);
  }
  return static_cast<double>(std::bit_cast<float>(bits));
}

/// To the nearest, ties to even.
std::uint16_t bfloat16_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) {
    return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  }
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

void write_entry(std::byte* at, cudaDataType type, double value) {
  const auto store = [at](auto rounded) { std::memcpy(at, &rounded, sizeof rounded); };
  if (type == CUDA_R_64F) {
    store(value);
  } else if (type == CUDA_R_16BF) {
    store(bfloat16_of(static_cast<float>(value)));
  } else {
    store(static_cast<float>(value));
  }
}

} // namespace

std::size_t size_of(cudaDataType type) {
  return type == CUDA_R_64F ? 8 : type == CUDA_R_16BF ? 2 : 4;
}

std::byte* working_alias(Address address, std::size_t bytes) {
  return state().device.alias(address, bytes, state().running_on);
}

std::size_t Operand::extent() const {
  if (empty()) {
    return 0;
  }
  std::int64_t entries = 0;
  if (__builtin_mul_overflow(cols - 1, ld, &entries) ||
      __builtin_add_overflow(entries, rows, &entries) || entries > (std::int64_t{1} << 48)) {
    throw MemoryFault(text(name, " is larger than any memory"));
  }
  return static_cast<std::size_t>(entries) * size_of(type);
}

Operand Operand::moved(std::int64_t entries) const {
  Operand result = *this;
  result.address += static_cast<Address>(entries) * size_of(type);
  return result;
}

void Operand::check_held() const {
  if (empty()) {
    return;
  }
  try {
    state().device.check_held(address, extent());
  } catch (const MemoryFault& fault) {
    throw MemoryFault(text(name, ": ", fault.what()));
  }
  if (address % size_of(type) != 0) {
    throw MemoryFault(text(name, " is not aligned to its entries"));
  }
}

Eigen::MatrixXd Operand::read() const {
  Eigen::MatrixXd values(rows, cols);
  if (!empty()) {
    const std::byte* const bytes = working_alias(address, extent());
    for (Eigen::Index j = 0; j < cols; ++j) {
      for (Eigen::Index i = 0; i < rows; ++i) {
        values(i, j) =
            read_entry(bytes + static_cast<std::size_t>(j * ld + i) * size_of(type), type);
      }
    }
  }
  return values;
}

void Operand::write(const Eigen::MatrixXd& values) const {
  if (!empty()) {
    std::byte* const bytes = working_alias(address, extent());
    for (Eigen::Index j = 0; j < cols; ++j) {
      for (Eigen::Index i = 0; i < rows; ++i) {
        write_entry(bytes + static_cast<std::size_t>(j * ld + i) * size_of(type), type,
                    values(i, j));
      }
    }
  }
}

bool overlap(const Operand& left, const Operand& right) {
  if (left.empty() || right.empty() || left.address + left.extent() <= right.address ||
      right.address + right.extent() <= left.address) {
    return false;
  }
  const auto column = [](const Operand& matrix, std::int64_t j) {
    const auto size = static_cast<std::int64_t>(size_of(matrix.type));
    return static_cast<std::int64_t>(matrix.address) + j * matrix.ld * size;
  };
  const auto bytes = [](const Operand& matrix) {
    return matrix.rows * static_cast<std::int64_t>(size_of(matrix.type));
  };
  std::int64_t j = 0; // both columns only ever move up
  for (std::int64_t i = 0; i < left.cols; ++i) {
    const auto first = column(left, i);
    while (j < right.cols && column(right, j) + bytes(right) <= first) {
      ++j;
    }
    if (j < right.cols && column(right, j) < first + bytes(left)) {
      return true;
    }
  }
  return false;
}

void check_apart(const Operand& output, std::initializer_list<Operand> inputs) {
  for (const auto& input : inputs) {
    if (overlap(output, input)) {
      throw MemoryFault(text(output.name, " overlaps ", input.name));
    }
  }
}

Scalar::Scalar(const char* name, const void* pointer, bool on_device, cudaDataType type)
    : type_(type) {
  const Address address = address_of(pointer);
  if (on_device) {
    address_ = address;
    Operand{name, address, type, 1, 1, 1}.check_held();
  } else if (place_of(pointer) == Place::device) {
    throw MemoryFault(text(name, " is on the device, but the pointer mode is that of the host"));
  } else {
    value_ = read_entry(static_cast<const std::byte*>(pointer), type);
  }
}

double Scalar::value() const {
  return address_ == 0 ? value_ : read_entry(working_alias(address_, size_of(type_)), type_);
}

void spoil(Address address, std::size_t bytes) {
  if (bytes == 0) {
    return;
  }
  // The ends will do where all of it would take long.
  constexpr std::size_t much = 65536;
  std::byte* const memory = working_alias(address, bytes);
  std::memset(memory, 0xFF, (std::min)(bytes, much));
  std::memset(memory + bytes - (std::min)(bytes, much), 0xFF, (std::min)(bytes, much));
}

} // namespace fake_cuda::detail
