// SPDX-License-Identifier: MIT
#include "cublas_gemm.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

namespace fake_cuda::detail {

struct LtHandle {
  int device = current_device();
};

struct LtOperation {
  cublasComputeType_t compute;
  cudaDataType scale;
  cublasOperation_t a = CUBLAS_OP_N;
  cublasOperation_t b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  Address vector = 0;
};

struct LtLayout {
  cudaDataType type;
  std::uint64_t rows;
  std::uint64_t cols;
  std::int64_t ld;
};

struct LtPreference {
  std::uint64_t workspace = 0;
  std::uint32_t alignment[4] = {256, 256, 256, 256}; ///< of A, B, C and D
};

namespace {

constexpr auto invalid = CUBLAS_STATUS_INVALID_VALUE;
constexpr auto unsupported = CUBLAS_STATUS_NOT_SUPPORTED;
constexpr auto success = CUBLAS_STATUS_SUCCESS;

template <class Handle, class Object>
std::shared_ptr<Object> found(const char* name, const Handles<Handle, Object>& handles,
                              Handle handle) {
  if (auto object = handles.find(handle)) {
    return object;
  }
  refuse(invalid, name, " is no descriptor, or one that was destroyed");
}

/// Descriptors lie on the host, and may be made while a stream is captured.
template <class Handle, class Object>
cublasStatus_t create(const char* name, Handles<Handle, Object>& handles, Handle* handle,
                      const Object& object) {
  return call<cublasStatus_t>(name, CUBLAS_STATUS_ALLOC_FAILED, [&] {
    if (handle == nullptr) {
      return invalid;
    }
    *handle = handles.add(std::make_shared<Object>(object));
    return success;
  });
}
template <class Handle, class Object>
cublasStatus_t destroy(const char* name, Handles<Handle, Object>& handles, Handle handle) {
  return release_call<cublasStatus_t>(name, [&] {
    static_cast<void>(found("the argument", handles, handle));
    handles.remove(handle);
    return success;
  });
}

/// What an attribute is set to. @throws Refusal for another size than that of the attribute.
template <class Value>
void read_attribute(const void* buffer, std::size_t bytes, Value& value) {
  if (buffer == nullptr || bytes != sizeof value) {
    refuse(invalid, "an attribute of ", sizeof value, " bytes is given ", bytes);
  }
  std::memcpy(&value, buffer, bytes);
}

bool is_epilogue(std::uint32_t epilogue) {
  switch (epilogue) {
  case CUBLASLT_EPILOGUE_DEFAULT:
  case CUBLASLT_EPILOGUE_RELU:
  case CUBLASLT_EPILOGUE_RELU_AUX:
  case CUBLASLT_EPILOGUE_BIAS:
  case CUBLASLT_EPILOGUE_RELU_BIAS:
  case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
  case CUBLASLT_EPILOGUE_DRELU:
  case CUBLASLT_EPILOGUE_DRELU_BGRAD:
  case CUBLASLT_EPILOGUE_GELU:
  case CUBLASLT_EPILOGUE_GELU_AUX:
  case CUBLASLT_EPILOGUE_GELU_BIAS:
  case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
  case CUBLASLT_EPILOGUE_DGELU:
  case CUBLASLT_EPILOGUE_DGELU_BGRAD:
  case CUBLASLT_EPILOGUE_BGRADA:
  case CUBLASLT_EPILOGUE_BGRADB:
    return true;
  default:
    return false;
  }
}

/// The descriptors of a product, which fit each other.
struct Matmul {
  cublasComputeType_t compute;
  cudaDataType scale;
  std::uint32_t epilogue;
  Gemm gemm;     ///< its c is D
  Operand added; ///< C
  Operand vector;

  [[nodiscard]] std::string sizes() const {
    return text(gemm.sizes(), " epilogue ", epilogue, " compute ", static_cast<int>(compute));
  }
  [[nodiscard]] bool has_vector() const { return epilogue != CUBLASLT_EPILOGUE_DEFAULT; }

  void check_memory(bool reads_added) const {
    gemm.check_memory(true);
    if (reads_added) {
      added.check_held();
    }
    const bool in_place = added.address == gemm.c.address && added.ld == gemm.c.ld;
    if (!in_place) {
      check_apart(gemm.c, {added});
    }
    if (!has_vector()) {
      return;
    }
    if (vector.address == 0) {
      refuse(invalid, "the epilogue needs a bias pointer");
    }
    vector.check_held();
    if (epilogue == CUBLASLT_EPILOGUE_BIAS) {
      check_apart(gemm.c, {vector});
    } else {
      check_apart(vector, {gemm.a, gemm.b, gemm.c});
    }
  }

  void run(double alpha, double beta) const {
    Eigen::MatrixXd result = gemm.value(alpha, beta, added);
    if (epilogue == CUBLASLT_EPILOGUE_BIAS) {
      result.colwise() += vector.read().col(0);
    } else if (epilogue == CUBLASLT_EPILOGUE_BGRADA) {
      vector.write(read(gemm.a, gemm.a_transposed).rowwise().sum());
    } else if (epilogue == CUBLASLT_EPILOGUE_BGRADB) {
      vector.write(read(gemm.b, gemm.b_transposed).colwise().sum().transpose());
    }
    gemm.c.write(result);
  }
};

std::int64_t size(std::uint64_t value) {
  if (value == 0) {
    refuse(invalid, "a layout without rows or columns");
  }
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
    refuse(unsupported, "a layout of ", value, " rows or columns");
  }
  return static_cast<std::int64_t>(value);
}

Matmul matmul(cublasLtMatmulDesc_t operation_, const void* a_data, cublasLtMatrixLayout_t a_,
              const void* b_data, cublasLtMatrixLayout_t b_, const void* c_data,
              cublasLtMatrixLayout_t c_, void* d_data, cublasLtMatrixLayout_t d_) {
  const auto& session = state().session;
  const auto operation = found("the operation", session.lt_operations, operation_);
  const auto a = found("A's layout", session.lt_layouts, a_);
  const auto b = found("B's layout", session.lt_layouts, b_);
  const auto c = found("C's layout", session.lt_layouts, c_);
  const auto d = found("D's layout", session.lt_layouts, d_);
  const auto check = [](const char* name, const LtLayout& layout, bool transposed,
                        std::int64_t rows, std::int64_t cols) {
    const std::int64_t height = size(transposed ? layout.cols : layout.rows);
    const std::int64_t width = size(transposed ? layout.rows : layout.cols);
    if (height != rows || width != cols) {
      refuse(invalid, "op(", name, ") is ", height, " x ", width, ", but the product needs ", rows,
             " x ", cols);
    }
  };
  const bool a_transposed = is_transposed(operation->a);
  const std::int64_t m = size(d->rows);
  const std::int64_t n = size(d->cols);
  const std::int64_t k = size(a_transposed ? a->rows : a->cols);
  check("A", *a, a_transposed, m, k);
  check("B", *b, is_transposed(operation->b), k, n);
  check("C", *c, false, m, n);
  if (c->type != d->type ||
      scale_type(operation->compute, a->type, b->type, d->type) != operation->scale) {
    refuse(unsupported, "the type of alpha, or those of C and D, do not fit");
  }
  const std::uint32_t epilogue = operation->epilogue;
  if (epilogue != CUBLASLT_EPILOGUE_DEFAULT && epilogue != CUBLASLT_EPILOGUE_BIAS &&
      epilogue != CUBLASLT_EPILOGUE_BGRADA && epilogue != CUBLASLT_EPILOGUE_BGRADB) {
    refuse(unsupported, "epilogue ", epilogue);
  }
  const std::int64_t entries = epilogue == CUBLASLT_EPILOGUE_BGRADB ? n : m;
  return {operation->compute,
          operation->scale,
          epilogue,
          Gemm(operation->a, operation->b, m, n, k, a_data, a->type, a->ld, b_data, b->type, b->ld,
               d_data, d->type, d->ld),
          operand("C", c_data, c->type, false, m, n, c->ld),
          {"the bias", operation->vector, d->type, entries, 1, entries}};
}

/// What an algorithm was chosen for.
struct Algorithm {
  std::uint64_t mark;
  std::uint64_t product;
  std::uint64_t workspace;
  std::uint64_t alignment[5]; ///< of A, B, C, D and the bias
};
static_assert(sizeof(Algorithm) == sizeof(cublasLtMatmulAlgo_t));
constexpr std::uint64_t algorithm_mark = 0xC0B1A517;

std::uint64_t product_number(const Matmul& product) {
  return std::hash<std::string>()(product.sizes());
}

std::uint64_t alignment_of(Address address) {
  const Address bits = address | 256;
  return bits & (~bits + 1);
}

void check_algorithm(const Matmul& product, const cublasLtMatmulAlgo_t* chosen,
                     std::size_t workspace) {
  if (chosen == nullptr) { // cuBLASLt asks its heuristic itself
    return;
  }
  Algorithm algorithm{};
  std::memcpy(&algorithm, chosen, sizeof algorithm);
  if (algorithm.mark != algorithm_mark || algorithm.product != product_number(product)) {
    refuse(invalid, "the algorithm is none, or that of another product than ", product.sizes());
  }
  if (workspace < algorithm.workspace) {
    refuse(invalid, "the algorithm needs a workspace of ", algorithm.workspace, " bytes, not of ",
           workspace);
  }
  const Operand* const operands[] = {&product.gemm.a, &product.gemm.b, &product.added,
                                     &product.gemm.c, &product.vector};
  for (std::size_t i = 0; i < 5; ++i) {
    if (operands[i]->address % algorithm.alignment[i] != 0) {
      throw MemoryFault(text(operands[i]->name, " is not aligned to the ", algorithm.alignment[i],
                             " bytes that the algorithm was chosen for"));
    }
  }
}

} // namespace
} // namespace fake_cuda::detail

using namespace fake_cuda::detail;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* lightHandle) {
  return create_handle<cublasStatus_t>("cublasLtCreate", state().session.lt_handles, lightHandle);
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t lightHandle) {
  return destroy_handle<cublasStatus_t>("cublasLtDestroy", state().session.lt_handles, lightHandle);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* matmulDesc,
                                        cublasComputeType_t computeType, cudaDataType_t scaleType) {
  return create("cublasLtMatmulDescCreate", state().session.lt_operations, matmulDesc,
                LtOperation{computeType, scaleType});
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmulDesc) {
  return destroy("cublasLtMatmulDescDestroy", state().session.lt_operations, matmulDesc);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmulDesc,
                                              cublasLtMatmulDescAttributes_t attr, const void* buf,
                                              size_t sizeInBytes) {
  return call<cublasStatus_t>("cublasLtMatmulDescSetAttribute", CUBLAS_STATUS_INTERNAL_ERROR, [&] {
    LtOperation& operation = *found("the operation", state().session.lt_operations, matmulDesc);
    switch (attr) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
    case CUBLASLT_MATMUL_DESC_TRANSB: {
      std::int32_t value = 0; // any number may stand there
      static_assert(sizeof value == sizeof(cublasOperation_t));
      read_attribute(buf, sizeInBytes, value);
      static_cast<void>(is_transposed(value));
      (attr == CUBLASLT_MATMUL_DESC_TRANSA ? operation.a : operation.b) =
          static_cast<cublasOperation_t>(value);
      return success;
    }
    case CUBLASLT_MATMUL_DESC_EPILOGUE: {
      std::uint32_t value = 0;
      read_attribute(buf, sizeInBytes, value);
      if (!is_epilogue(value)) {
        refuse(invalid, "no epilogue: ", value);
      }
      operation.epilogue = value;
      return success;
    }
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      read_attribute(buf, sizeInBytes, operation.vector);
      return success;
    default:
      refuse(unsupported, "attribute ", static_cast<int>(attr));
    }
  });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* matLayout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
  return create("cublasLtMatrixLayoutCreate", state().session.lt_layouts, matLayout,
                LtLayout{type, rows, cols, ld});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matLayout) {
  return destroy("cublasLtMatrixLayoutDestroy", state().session.lt_layouts, matLayout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* pref) {
  return create("cublasLtMatmulPreferenceCreate", state().session.lt_preferences, pref,
                LtPreference{});
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref) {
  return destroy("cublasLtMatmulPreferenceDestroy", state().session.lt_preferences, pref);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref,
                                                    cublasLtMatmulPreferenceAttributes_t attr,
                                                    const void* buf, size_t sizeInBytes) {
  return call<cublasStatus_t>(
      "cublasLtMatmulPreferenceSetAttribute", CUBLAS_STATUS_INTERNAL_ERROR, [&] {
        LtPreference& preference = *found("the preference", state().session.lt_preferences, pref);
        if (attr == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
          read_attribute(buf, sizeInBytes, preference.workspace);
        } else if (attr >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
                   attr <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) {
          std::uint32_t value = 0;
          read_attribute(buf, sizeInBytes, value);
          if (value == 0 || (value & (value - 1)) != 0) {
            refuse(invalid, "an alignment of ", value, " bytes");
          }
          preference.alignment[attr - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES] = value;
        } else {
          refuse(unsupported, "attribute ", static_cast<int>(attr));
        }
        return success;
      });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc, cublasLtMatrixLayout_t Adesc,
    cublasLtMatrixLayout_t Bdesc, cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
    cublasLtMatmulPreference_t preference, int requestedAlgoCount,
    cublasLtMatmulHeuristicResult_t heuristicResultsArray[], int* returnAlgoCount) {
  return call<cublasStatus_t>("cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_INTERNAL_ERROR, [&] {
    auto& session = state().session;
    static_cast<void>(find_handle<cublasStatus_t>(session.lt_handles, lightHandle));
    const LtPreference& wanted = *found("the preference", session.lt_preferences, preference);
    if (requestedAlgoCount <= 0 || heuristicResultsArray == nullptr || returnAlgoCount == nullptr) {
      refuse(invalid, "no room for ", requestedAlgoCount, " algorithms");
    }
    const Matmul product =
        matmul(operationDesc, nullptr, Adesc, nullptr, Bdesc, nullptr, Cdesc, nullptr, Ddesc);
    record(" ", product.sizes());
    *returnAlgoCount = 0;
    if (session.lt_support == fake_cuda::LtSupport::not_supported) {
      return unsupported;
    }
    if (session.lt_support == fake_cuda::LtSupport::none_found) {
      return success;
    }
    // An odd size, where there is room for it.
    constexpr std::uint64_t bytes = 12345;
    const auto& aligned = wanted.alignment;
    const Algorithm algorithm{
        algorithm_mark,
        product_number(product),
        wanted.workspace < bytes ? 0 : bytes,
        {aligned[0], aligned[1], aligned[2], aligned[3], alignment_of(product.vector.address)}};
    auto& result = heuristicResultsArray[0];
    result = {};
    std::memcpy(&result.algo, &algorithm, sizeof algorithm);
    result.workspaceSize = algorithm.workspace;
    result.state = session.lt_support == fake_cuda::LtSupport::unusable ? unsupported : success;
    result.wavesCount = 1;
    *returnAlgoCount = 1;
    return success;
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t computeDesc,
                              const void* alpha, const void* A, cublasLtMatrixLayout_t Adesc,
                              const void* B, cublasLtMatrixLayout_t Bdesc, const void* beta,
                              const void* C, cublasLtMatrixLayout_t Cdesc, void* D,
                              cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspaceSizeInBytes, cudaStream_t stream) {
  return call<cublasStatus_t>("cublasLtMatmul", CUBLAS_STATUS_EXECUTION_FAILED, [&] {
    auto& here = state();
    const auto handle = find_handle<cublasStatus_t>(here.session.lt_handles, lightHandle);
    const Matmul product = matmul(computeDesc, A, Adesc, B, Bdesc, C, Cdesc, D, Ddesc);
    if (alpha == nullptr || beta == nullptr) {
      refuse(invalid, "alpha or beta is null");
    }
    const Scalar scale("alpha", alpha, false, product.scale);
    const Scalar kept("beta", beta, false, product.scale);
    check_algorithm(product, algo, workspaceSizeInBytes);
    if (here.session.lt_support == fake_cuda::LtSupport::not_at_call) {
      return unsupported;
    }
    product.check_memory(!kept.is_known_zero());
    const Address scratch = address_of(workspace);
    if (workspaceSizeInBytes > 0) {
      if (scratch % 256 != 0) {
        refuse(invalid, "the workspace is not aligned to 256 bytes");
      }
      here.device.check_held(scratch, workspaceSizeInBytes);
    }
    const auto target = stream_of(stream);
    check_device(handle->device, *target);
    enqueue(target, here.call, [=] {
      spoil(scratch, workspaceSizeInBytes);
      product.run(scale.value(), kept.value());
    });
    ++here.session.counters.library_calls;
    record(" ", product.sizes());
    return success;
  });
}
