// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/view.hpp>

#if defined(ACCRETE_USE_ONEDNN)
#include <dnnl.h>

#include <array>
#include <cstddef>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What a oneDNN matmul is compiled for.
struct MatmulKey {
  Index m, n, k;
  Index a_row, a_col, b_row, b_col, c_col; ///< steps in memory
  float alpha;
  bool accumulate;
  bool float_result;
  int threads;

  bool operator==(const MatmulKey&) const = default;
};

/// c = alpha a b (+ c) for bfloat16 operands. oneDNN generates code for one shape, which takes a
/// millisecond or so; the product itself then allocates nothing.
class OnednnMatmul {
 public:
  OnednnMatmul() = default;
  OnednnMatmul(const OnednnMatmul&) = delete;
  OnednnMatmul& operator=(const OnednnMatmul&) = delete;
  ~OnednnMatmul() { release(); }

  [[nodiscard]] bool is(const MatmulKey& key) const noexcept {
    return primitive_ != nullptr && key_ == key;
  }

  /// False when oneDNN has no such product; it is then asked again the next time.
  bool build(dnnl_engine_t engine, const MatmulKey& key) {
    release();
    key_ = key;
    // oneDNN is row-major: our c is its transpose, cᵀ = bᵀ aᵀ.
    const dnnl_data_type_t result = key.float_result ? dnnl_f32 : dnnl_bf16;
    Description source(key.n, key.k, key.b_col, key.b_row, dnnl_bf16);
    Description weights(key.k, key.m, key.a_col, key.a_row, dnnl_bf16);
    Description target(key.n, key.m, key.c_col, 1, result);
    dnnl_primitive_attr_t attributes = nullptr;
    if (dnnl_primitive_attr_create(&attributes) != dnnl_success) {
      return false;
    }
    dnnl_primitive_desc_t description = nullptr;
    const bool made = set_epilogue(attributes) &&
                      describe(description, source, weights, target, attributes, engine) &&
                      dnnl_primitive_create(&primitive_, description) == dnnl_success &&
                      source.memory(memories_[0], engine) && weights.memory(memories_[1], engine) &&
                      target.memory(memories_[2], engine);
    dnnl_primitive_desc_destroy(description);
    dnnl_primitive_attr_destroy(attributes);
    if (!made) {
      release();
    }
    return made;
  }

  bool run(dnnl_stream_t stream, const void* a, const void* b, void* c) {
    const std::array<void*, 3> handles{const_cast<void*>(b), const_cast<void*>(a), c};
    for (std::size_t i = 0; i < handles.size(); ++i) {
      if (dnnl_memory_set_data_handle(memories_[i], handles[i]) != dnnl_success) {
        return false;
      }
    }
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, memories_[0]},
                                         {DNNL_ARG_WEIGHTS, memories_[1]},
                                         {DNNL_ARG_DST, memories_[2]}};
    return dnnl_primitive_execute(primitive_, stream, 3, arguments) == dnnl_success &&
           dnnl_stream_wait(stream) == dnnl_success;
  }

 private:
  /// A matrix by its sizes and steps; oneDNN 3 made the type opaque.
  class Description {
   public:
    Description(Index rows, Index cols, Index row_step, Index col_step, dnnl_data_type_t type) {
      const dnnl_dims_t sizes = {rows, cols};
      const dnnl_dims_t steps = {row_step, col_step};
#if DNNL_VERSION_MAJOR >= 3
      dnnl_memory_desc_create_with_strides(&value, 2, sizes, type, steps);
#else
      dnnl_memory_desc_init_by_strides(&value, 2, sizes, type, steps);
#endif
    }
    Description(const Description&) = delete;
    Description& operator=(const Description&) = delete;
#if DNNL_VERSION_MAJOR >= 3
    ~Description() { dnnl_memory_desc_destroy(value); }
    bool memory(dnnl_memory_t& result, dnnl_engine_t engine) const {
      return dnnl_memory_create(&result, value, engine, DNNL_MEMORY_NONE) == dnnl_success;
    }
    dnnl_memory_desc_t value = nullptr;
#else
    ~Description() = default;
    bool memory(dnnl_memory_t& result, dnnl_engine_t engine) const {
      return dnnl_memory_create(&result, &value, engine, DNNL_MEMORY_NONE) == dnnl_success;
    }
    dnnl_memory_desc_t value{};
#endif
  };

  static bool describe(dnnl_primitive_desc_t& result, Description& source, Description& weights,
                       Description& target, dnnl_primitive_attr_t attributes,
                       dnnl_engine_t engine) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(&result, engine, source.value, weights.value, nullptr,
                                             target.value, attributes) == dnnl_success;
#else
    dnnl_matmul_desc_t operation;
    return dnnl_matmul_desc_init(&operation, &source.value, &weights.value, nullptr,
                                 &target.value) == dnnl_success &&
           dnnl_primitive_desc_create(&result, &operation, attributes, engine, nullptr) ==
               dnnl_success;
#endif
  }

  /// Times alpha, plus the old result.
  bool set_epilogue(dnnl_primitive_attr_t attributes) const {
    dnnl_post_ops_t operations = nullptr;
    if (dnnl_post_ops_create(&operations) != dnnl_success) {
      return false;
    }
    bool set = true;
    if (key_.alpha != 1) {
#if DNNL_VERSION_MAJOR >= 3
      set = dnnl_post_ops_append_eltwise(operations, dnnl_eltwise_linear, key_.alpha, 0) ==
            dnnl_success;
#else
      set = dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_linear, key_.alpha, 0) ==
            dnnl_success;
#endif
    }
    if (key_.accumulate) {
#if DNNL_VERSION_MAJOR >= 3
      set = set && dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef) == dnnl_success;
#else
      set = set && dnnl_post_ops_append_sum(operations, 1) == dnnl_success;
#endif
    }
    set = set && dnnl_primitive_attr_set_post_ops(attributes, operations) == dnnl_success;
    dnnl_post_ops_destroy(operations);
    return set;
  }

  void release() {
    for (dnnl_memory_t& memory : memories_) {
      dnnl_memory_destroy(memory);
      memory = nullptr;
    }
    dnnl_primitive_destroy(primitive_);
    primitive_ = nullptr;
  }

  MatmulKey key_{};
  dnnl_primitive_t primitive_ = nullptr;
  std::array<dnnl_memory_t, 3> memories_{};
};

/// oneDNN's engine and stream of one thread; unusable where the processor has no bfloat16 products.
struct OnednnStream {
  OnednnStream() {
    usable = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) ==
                 dnnl_cpu_isa_avx512_core_bf16 &&
             dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
             dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
  }
  OnednnStream(const OnednnStream&) = delete;
  OnednnStream& operator=(const OnednnStream&) = delete;
  ~OnednnStream() {
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
  }

  dnnl_engine_t engine = nullptr;
  dnnl_stream_t stream = nullptr;
  bool usable = false;
};

/// The products that a thread has used last; each thread has its own.
class OnednnMatmuls {
 public:
  bool run(const MatmulKey& key, const void* a, const void* b, void* c) {
    if (!stream_.usable) {
      return false;
    }
    OnednnMatmul& product = products_[place(key)];
    return (product.is(key) || product.build(stream_.engine, key)) &&
           product.run(stream_.stream, a, b, c);
  }

 private:
  static std::size_t place(const MatmulKey& key) noexcept {
    std::size_t value = key.accumulate ? 3 : 1;
    for (const Index part : {key.m, key.n, key.k, key.a_row, key.b_row, key.c_col}) {
      value = (value ^ static_cast<std::size_t>(part)) * 0x9E3779B97F4A7C15ULL;
      value ^= value >> 32;
    }
    return value % count;
  }

  static constexpr std::size_t count = 256;
  OnednnStream stream_; // outlives the products, which refer to its engine
  std::array<OnednnMatmul, count> products_;
};

/// oneDNN's product of bfloat16 matrices.
struct OnednnBfloat16Gemm {
  static constexpr const char* name = "onednn";
  template <class Scalar>
  static constexpr bool supports = std::is_same_v<Scalar, bfloat16>;
  static constexpr bool is_usable() noexcept { return true; }

  /// False where beta is neither 0 nor 1, or the processor cannot multiply bfloat16 itself.
  template <class Scalar, class Result>
  static bool gemm(Device<Cpu>& device, float alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, float beta, const View<Result>& c) {
    if (beta != 0 && beta != 1) {
      return false;
    }
    const int threads = device.threads();
    const OpenmpThreads guard(threads);
    thread_local OnednnMatmuls matmuls;
    const MatmulKey key{c.rows,
                        c.cols,
                        a.cols,
                        a.row_step(),
                        a.col_step(),
                        b.row_step(),
                        b.col_step(),
                        c.stride,
                        alpha,
                        beta == 1,
                        std::is_same_v<Result, float>,
                        threads};
    return matmuls.run(key, a.data, b.data, c.data);
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE

#endif
