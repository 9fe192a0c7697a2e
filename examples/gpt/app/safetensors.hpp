// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"
#include "model/finite.hpp"

#include <accrete/backend/view.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

/// Reader and writer of the safetensors format: a little-endian u64 header size, a JSON header,
/// the tensors' bytes.
///
/// A column-major rows x cols view is stored as the row-major tensor [cols, rows]: the same bytes.
/// A GPT-2 `Conv1D` weight (in, out) is therefore the bytes of a column-major out x in matrix.
namespace gpt::safetensors {

enum class DType : unsigned char { f32, f64, i32, i64 };
using Shape = std::vector<std::int64_t>;

struct TensorInfo {
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0; ///< Bytes from the end of the header.
  std::uint64_t end = 0;
};

namespace detail {

/// As in the reference implementation: no header of a real model comes near.
inline constexpr std::uint64_t largest_header = 100'000'000;

template <class Scalar>
inline constexpr bool is_storable = false;
template <>
inline constexpr bool is_storable<float> = true;
template <>
inline constexpr bool is_storable<double> = true;
template <>
inline constexpr bool is_storable<std::int32_t> = true;
template <>
inline constexpr bool is_storable<std::int64_t> = true;

template <class Scalar>
constexpr DType dtype_of() noexcept {
  static_assert(is_storable<Scalar>, "a tensor holds float, double, int32 or int64");
  if constexpr (std::is_same_v<Scalar, float>) {
    return DType::f32;
  }
  if constexpr (std::is_same_v<Scalar, double>) {
    return DType::f64;
  }
  if constexpr (std::is_same_v<Scalar, std::int32_t>) {
    return DType::i32;
  }
  return DType::i64;
}

inline const char* name_of(DType dtype) noexcept {
  switch (dtype) {
  case DType::f32:
    return "F32";
  case DType::f64:
    return "F64";
  case DType::i32:
    return "I32";
  case DType::i64:
    break;
  }
  return "I64";
}

inline std::uint64_t bytes_of(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::i32 ? 4 : 8;
}

inline std::string text_of(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  }
  return text + "]";
}

/// Product of the extents in bytes; false when it does not fit.
inline bool byte_count(const Shape& shape, DType dtype, std::uint64_t& bytes) noexcept {
  bytes = bytes_of(dtype);
  for (const std::int64_t extent : shape) {
    const auto factor = static_cast<std::uint64_t>(extent);
    if (factor != 0 && bytes > std::numeric_limits<std::uint64_t>::max() / factor) {
      return false;
    }
    bytes *= factor;
  }
  return true;
}

} // namespace detail

/// Collects references to tensors, then writes them all; the tensors must outlive `write`.
class Writer {
 public:
  void set_metadata(std::string key, std::string value) {
    metadata_[std::move(key)] = std::move(value);
  }

  /// Column-major view; stored as [cols, rows].
  template <class Scalar>
  void add(std::string name, accrete::View<const Scalar> view) {
    add(std::move(name), {view.cols, view.rows}, view);
  }

  /// Column-major view under a shape of the caller's with as many entries.
  template <class Scalar>
  void add(std::string name, Shape shape, accrete::View<const Scalar> view) {
    entries_.push_back({std::move(name), detail::dtype_of<Scalar>(), std::move(shape),
                        [view](OutputFile& file) { write_view(file, view); }});
  }

  /// Small vector, copied; stored as [size].
  template <class Scalar>
  void add(std::string name, std::vector<Scalar> values) {
    const Shape shape{static_cast<std::int64_t>(values.size())};
    entries_.push_back({std::move(name), detail::dtype_of<Scalar>(), shape,
                        [values = std::move(values)](OutputFile& file) {
                          file.write(values.data(), values.size() * sizeof(Scalar));
                        }});
  }

  /// Writes and flushes `path`. @throws FileError (a full disk, no permission, ...)
  void write(const fs::path& path) const {
    const std::string header = this->header();
    const std::uint64_t size = header.size();
    OutputFile file(path);
    file.write(&size, sizeof size);
    file.write(header);
    for (const Entry& entry : entries_) {
      entry.write(file);
    }
    file.finish();
  }

 private:
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    std::function<void(OutputFile&)> write;
  };

  template <class Scalar>
  static void write_view(OutputFile& file, const accrete::View<const Scalar>& view) {
    const auto column = static_cast<std::size_t>(view.rows) * sizeof(Scalar);
    if (view.is_contiguous()) {
      file.write(view.data, column * static_cast<std::size_t>(view.cols));
      return;
    }
    for (accrete::Index j = 0; j < view.cols; ++j) {
      file.write(view.data + j * view.stride, column);
    }
  }

  [[nodiscard]] std::string header() const {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata_.empty()) {
      header["__metadata__"] = metadata_;
    }
    std::uint64_t position = 0;
    for (const Entry& entry : entries_) {
      std::uint64_t bytes = 0;
      if (!detail::byte_count(entry.shape, entry.dtype, bytes)) {
        throw FileError("safetensors: tensor '" + entry.name + "' is too large");
      }
      header[entry.name] = {{"dtype", detail::name_of(entry.dtype)},
                            {"shape", entry.shape},
                            {"data_offsets", {position, position + bytes}}};
      position += bytes;
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');
    return text;
  }

  std::map<std::string, std::string> metadata_;
  std::vector<Entry> entries_;
};

/// A safetensors file whose header has been checked; tensors are read on demand.
///
/// Every fault of the file is a FileError that names the file, the tensor and what to do.
class Reader {
 public:
  explicit Reader(const fs::path& path) : file_(path) {
    parse(read_header());
    check_tiling();
  }

  [[nodiscard]] const fs::path& path() const noexcept { return file_.path(); }
  [[nodiscard]] const std::map<std::string, TensorInfo>& tensors() const noexcept {
    return tensors_;
  }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept {
    return metadata_;
  }
  [[nodiscard]] bool contains(const std::string& name) const { return tensors_.count(name) != 0; }

  [[nodiscard]] const TensorInfo& info(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      fail("has no tensor '" + name + "'; the file belongs to another model or program");
    }
    return found->second;
  }

  /// @throws FileError unless the tensor has this shape
  void require_shape(const std::string& name, const Shape& shape) const {
    if (const TensorInfo& tensor = info(name); tensor.shape != shape) {
      fail_shape(name, tensor, shape);
    }
  }

  /// Reads tensor [cols, rows] (or [rows] into one column) into a column-major view. Floating-point
  /// numbers must be finite.
  template <class Scalar>
  void read(const std::string& name, accrete::View<Scalar> destination) const {
    const TensorInfo& tensor = info(name);
    const Shape matrix{destination.cols, destination.rows};
    const Shape vector{destination.rows};
    const bool fits = tensor.shape == matrix || (destination.cols == 1 && tensor.shape == vector);
    if (!fits) {
      fail_shape(name, tensor, matrix);
    }
    check_dtype<Scalar>(name, tensor);
    read_columns(tensor, destination);
    check_finite<Scalar>(name, destination);
  }

  /// Reads a tensor of one dimension.
  template <class Scalar>
  [[nodiscard]] std::vector<Scalar> read_vector(const std::string& name) const {
    const TensorInfo& tensor = info(name);
    if (tensor.shape.size() != 1) {
      fail("tensor '" + name + "' has shape " + detail::text_of(tensor.shape) +
           ", one dimension is needed; the file was written by another program");
    }
    check_dtype<Scalar>(name, tensor);
    std::vector<Scalar> values(static_cast<std::size_t>(tensor.shape[0]));
    file_.read_at(data_ + tensor.begin, values.data(), values.size() * sizeof(Scalar));
    check_finite<Scalar>(name,
                         accrete::dense_view(std::as_const(values).data(), tensor.shape[0], 1));
    return values;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FileError("safetensors file '" + path().string() + "' " + what);
  }

  [[noreturn]] void fail_shape(const std::string& name, const TensorInfo& tensor,
                               const Shape& needed) const {
    fail("tensor '" + name + "' has shape " + detail::text_of(tensor.shape) + ", the model needs " +
         detail::text_of(needed) + "; the file belongs to a model with other sizes");
  }

  template <class Scalar>
  void check_finite(const std::string& name, const accrete::View<const Scalar>& view) const {
    if constexpr (std::is_floating_point_v<Scalar>) {
      if (!all_finite(view)) {
        fail("tensor '" + name +
             "' has entries that are not finite; its training diverged or it is damaged: use an "
             "earlier checkpoint");
      }
    }
  }

  template <class Scalar>
  void check_dtype(const std::string& name, const TensorInfo& tensor) const {
    const DType needed = detail::dtype_of<Scalar>();
    if (tensor.dtype == needed) {
      return;
    }
    fail("tensor '" + name + "' holds " + detail::name_of(tensor.dtype) + ", " +
         detail::name_of(needed) + " is needed; use the --dtype that the file was written with");
  }

  template <class Scalar>
  void read_columns(const TensorInfo& tensor, accrete::View<Scalar> view) const {
    const auto column = static_cast<std::size_t>(view.rows) * sizeof(Scalar);
    const std::size_t first = data_ + tensor.begin;
    if (view.is_contiguous()) {
      file_.read_at(first, view.data, column * static_cast<std::size_t>(view.cols));
      return;
    }
    for (accrete::Index j = 0; j < view.cols; ++j) {
      file_.read_at(first + static_cast<std::size_t>(j) * column, view.data + j * view.stride,
                    column);
    }
  }

  [[nodiscard]] nlohmann::json read_header() {
    std::uint64_t size = 0;
    if (file_.size() < sizeof size) {
      fail("has only " + std::to_string(file_.size()) +
           " bytes; it was cut off or is no "
           "safetensors file");
    }
    file_.read_at(0, &size, sizeof size);
    if (size > detail::largest_header || size < 2) {
      fail("announces a header of " + std::to_string(size) + " bytes; it is no safetensors file");
    }
    if (size > file_.size() - sizeof size) {
      fail("announces a header of " + std::to_string(size) + " bytes but has only " +
           std::to_string(file_.size()) + "; it was cut off: use an earlier checkpoint");
    }
    data_ = sizeof size + size;
    std::string text(size, '\0');
    file_.read_at(sizeof size, text.data(), text.size());
    nlohmann::json header = nlohmann::json::parse(text, nullptr, false);
    if (!header.is_object()) {
      fail("has no JSON header; it is no safetensors file");
    }
    return header;
  }

  void parse(const nlohmann::json& header) {
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        parse_metadata(value);
      } else {
        tensors_.emplace(name, parse_tensor(name, value));
      }
    }
  }

  void parse_metadata(const nlohmann::json& value) {
    if (!value.is_object()) {
      fail("has metadata that is no object; it is damaged");
    }
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) {
        fail("has metadata '" + key + "' that is no text; it is damaged");
      }
      metadata_[key] = text.get<std::string>();
    }
  }

  [[nodiscard]] TensorInfo parse_tensor(const std::string& name,
                                        const nlohmann::json& value) const {
    const auto unsigned_array = [](const nlohmann::json& entry) {
      return entry.is_array() && std::all_of(entry.begin(), entry.end(), [](const auto& number) {
               return number.is_number_unsigned() &&
                      number.template get<std::uint64_t>() <=
                          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
             });
    };
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
        !value.contains("shape") || !unsigned_array(value["shape"]) ||
        !value.contains("data_offsets") || !unsigned_array(value["data_offsets"]) ||
        value["data_offsets"].size() != 2) {
      fail("describes tensor '" + name + "' without dtype, shape and data_offsets; it is damaged");
    }
    TensorInfo tensor;
    tensor.dtype = parse_dtype(name, value["dtype"].get<std::string>());
    tensor.shape = value["shape"].get<Shape>();
    tensor.begin = value["data_offsets"][0].get<std::uint64_t>();
    tensor.end = value["data_offsets"][1].get<std::uint64_t>();
    check_bounds(name, tensor);
    return tensor;
  }

  [[nodiscard]] DType parse_dtype(const std::string& name, const std::string& text) const {
    for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64}) {
      if (text == detail::name_of(dtype)) {
        return dtype;
      }
    }
    fail("tensor '" + name + "' holds " + text +
         "; this program reads F32, F64, I32 and I64: convert the file");
  }

  void check_bounds(const std::string& name, const TensorInfo& tensor) const {
    const std::uint64_t available = file_.size() - data_;
    if (tensor.begin > tensor.end || tensor.end > available) {
      fail("tensor '" + name + "' takes bytes " + std::to_string(tensor.begin) + " to " +
           std::to_string(tensor.end) + " of " + std::to_string(available) +
           "; the file was cut off: use an earlier checkpoint");
    }
    std::uint64_t bytes = 0;
    if (!detail::byte_count(tensor.shape, tensor.dtype, bytes) ||
        bytes != tensor.end - tensor.begin) {
      fail("tensor '" + name + "' of shape " + detail::text_of(tensor.shape) + " and type " +
           detail::name_of(tensor.dtype) + " does not fill its " +
           std::to_string(tensor.end - tensor.begin) + " bytes; the file is damaged");
    }
  }

  // Tensors that overlap or leave holes are not valid and could smuggle data.
  void check_tiling() const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;
    for (const auto& [name, tensor] : tensors_) {
      extents.emplace_back(tensor.begin, tensor.end);
    }
    std::sort(extents.begin(), extents.end());
    std::uint64_t position = 0;
    for (const auto& [begin, end] : extents) {
      if (begin != position) {
        fail("has overlapping tensors or holes; it is damaged");
      }
      position = end;
    }
    if (position != file_.size() - data_) {
      fail("has " + std::to_string(file_.size() - data_ - position) +
           " bytes after its last tensor; it is damaged");
    }
  }

  InputFile file_;
  std::size_t data_ = 0;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

} // namespace gpt::safetensors
