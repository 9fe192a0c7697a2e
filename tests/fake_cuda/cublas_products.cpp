// SPDX-License-Identifier: MIT
#include "cublas_gemm.hpp"

#include <algorithm>

namespace {

using namespace fake_cuda::detail;
using Eigen::MatrixXd;

constexpr auto invalid = CUBLAS_STATUS_INVALID_VALUE;
constexpr auto success = CUBLAS_STATUS_SUCCESS;

struct Scalars {
  Scalar alpha;
  Scalar beta;
};

Scalars scalars(const BlasHandle& blas, const void* alpha, const void* beta, cudaDataType type) {
  if (alpha == nullptr || beta == nullptr) {
    refuse(invalid, "alpha or beta is null");
  }
  return {Scalar("alpha", alpha, blas.scalars_on_device, type),
          Scalar("beta", beta, blas.scalars_on_device, type)};
}

void enqueue_gemm(const BlasHandle& blas, const Gemm& gemm, const Scalars& scale) {
  gemm.check_memory(!scale.alpha.is_known_zero());
  if (!gemm.c.empty()) {
    enqueue_blas(blas, [=] { gemm.run(scale.alpha.value(), scale.beta.value()); });
  }
}

void check_algorithm(cublasGemmAlgo_t algorithm) {
  if (algorithm != CUBLAS_GEMM_DEFAULT && algorithm != CUBLAS_GEMM_DEFAULT_TENSOR_OP) {
    refuse(CUBLAS_STATUS_NOT_SUPPORTED, "algorithm ", static_cast<int>(algorithm));
  }
}

template <class Body>
cublasStatus_t blas_call(const char* name, cublasHandle_t handle, Body&& body) {
  return call<cublasStatus_t>(name, CUBLAS_STATUS_EXECUTION_FAILED, [&] {
    body(*blas_handle(handle));
    return success;
  });
}

template <class T>
constexpr cudaDataType type_of = std::is_same_v<T, double> ? CUDA_R_64F : CUDA_R_32F;

template <class T>
cublasStatus_t gemm(const char* name, cublasHandle_t handle, cublasOperation_t transa,
                    cublasOperation_t transb, std::int64_t m, std::int64_t n, std::int64_t k,
                    const T* alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb,
                    const T* beta, T* c, std::int64_t ldc) {
  return blas_call(name, handle, [&](const BlasHandle& blas) {
    constexpr auto type = type_of<T>;
    const Gemm product(transa, transb, m, n, k, a, type, lda, b, type, ldb, c, type, ldc);
    enqueue_gemm(blas, product, scalars(blas, alpha, beta, type));
    record(" ", product.sizes());
  });
}

/// A vector as a row whose leading dimension is the distance of its entries.
Operand vector(const char* name, const void* data, cudaDataType type, std::int64_t size,
               std::int64_t increment) {
  if (increment == 0) {
    refuse(invalid, "the increment of ", name, " is 0");
  }
  return {name, address_of(data), type, 1, size, std::abs(increment)};
}

template <class T>
cublasStatus_t gemv(const char* name, cublasHandle_t handle, cublasOperation_t trans,
                    std::int64_t m, std::int64_t n, const T* alpha, const T* a, std::int64_t lda,
                    const T* x, std::int64_t incx, const T* beta, T* y, std::int64_t incy) {
  return blas_call(name, handle, [&](const BlasHandle& blas) {
    constexpr auto type = type_of<T>;
    const bool transposed = is_transposed(trans);
    const auto matrix = operand("A", a, type, false, m, n, lda);
    const auto from = vector("x", x, type, transposed ? m : n, incx);
    const auto to = vector("y", y, type, transposed ? n : m, incy);
    const auto [factor, kept] = scalars(blas, alpha, beta, type);
    if (matrix.empty()) { // as cuBLAS, which leaves y then
      return;
    }
    to.check_held();
    if (!factor.is_known_zero()) {
      matrix.check_held();
      from.check_held();
      check_apart(to, {matrix, from});
    }
    enqueue_blas(blas, [=, scale = factor, keep = kept] {
      // From its last entry on where the increment is negative.
      const auto in_order = [](MatrixXd row, std::int64_t increment) {
        return increment > 0 ? row : MatrixXd(row.rowwise().reverse());
      };
      MatrixXd result = MatrixXd::Zero(1, to.cols);
      if (const double value = scale.value(); value != 0) {
        const MatrixXd product = read(matrix, transposed) * in_order(from.read(), incx).transpose();
        result = value * product.transpose();
      }
      if (const double value = keep.value(); value != 0) {
        result += value * in_order(to.read(), incy);
      }
      to.write(in_order(result, incy));
    });
    record(" ", letter(transposed), " ", m, " ", n, " ld ", lda, " inc ", incx, " ", incy);
  });
}

template <class T>
cublasStatus_t geam(const char* name, cublasHandle_t handle, cublasOperation_t transa,
                    cublasOperation_t transb, std::int64_t m, std::int64_t n, const T* alpha,
                    const T* a, std::int64_t lda, const T* beta, const T* b, std::int64_t ldb, T* c,
                    std::int64_t ldc) {
  return blas_call(name, handle, [&](const BlasHandle& blas) {
    constexpr auto type = type_of<T>;
    const bool a_transposed = is_transposed(transa);
    const bool b_transposed = is_transposed(transb);
    const auto first = operand("A", a, type, a_transposed, m, n, lda);
    const auto second = operand("B", b, type, b_transposed, m, n, ldb);
    const auto sum = operand("C", c, type, false, m, n, ldc);
    const auto [left, right] = scalars(blas, alpha, beta, type);
    const auto check = [&](const Operand& input, bool transposed, const Scalar& scale) {
      if (sum.empty() || scale.is_known_zero()) { // or it is not read
        return;
      }
      input.check_held();
      if (input.address == sum.address) {
        if (transposed || input.ld != sum.ld) {
          refuse(invalid, "C in place of ", input.name,
                 ", which is transposed or has another leading dimension");
        }
      } else {
        check_apart(sum, {input});
      }
    };
    sum.check_held();
    check(first, a_transposed, left);
    check(second, b_transposed, right);
    if (sum.empty()) {
      return;
    }
    enqueue_blas(blas, [=, alpha_ = left, beta_ = right] {
      MatrixXd result = MatrixXd::Zero(m, n);
      if (const double value = alpha_.value(); value != 0) {
        result += value * read(first, a_transposed);
      }
      if (const double value = beta_.value(); value != 0) {
        result += value * read(second, b_transposed);
      }
      sum.write(result);
    });
    record(" ", letter(a_transposed), " ", letter(b_transposed), " ", m, " ", n, " ld ", lda, " ",
           ldb, " ", ldc);
  });
}

/// All matrices of a batch as one range of memory.
Operand whole_batch(const Operand& one, std::int64_t stride, std::int64_t count) {
  if (stride < 0) {
    throw MemoryFault(text(one.name, " has the stride ", stride));
  }
  if (one.empty()) {
    return one;
  }
  const auto entries = static_cast<std::int64_t>(one.extent() / size_of(one.type));
  const std::int64_t all = (count - 1) * stride + entries;
  return {one.name, one.address, one.type, all, 1, all};
}

/// Whether no two results of a batch share entries.
bool is_apart(const Operand& one, std::int64_t stride, std::int64_t count) {
  for (std::int64_t i = 1; i < count && stride * i * std::int64_t(size_of(one.type)) <
                                            static_cast<std::int64_t>(one.extent());
       ++i) {
    if (overlap(one, one.moved(i * stride))) {
      return false;
    }
  }
  return count < 2 || stride > 0;
}

struct Grouped {
  std::vector<Gemm> gemms; ///< one a group, at no address
  std::vector<std::int64_t> counts;
  std::vector<double> alphas;
  std::vector<double> betas;
};

/// Addresses that the device holds, when the work runs.
std::vector<Address> addresses(Address table, std::int64_t count) {
  const auto size = static_cast<std::size_t>(count);
  const auto* const first =
      reinterpret_cast<const Address*>(working_alias(table, size * sizeof(Address)));
  return {first, first + size};
}

} // namespace

cublasStatus_t cublasSgemm_v2_64(cublasHandle_t handle, cublasOperation_t transa,
                                 cublasOperation_t transb, int64_t m, int64_t n, int64_t k,
                                 const float* alpha, const float* A, int64_t lda, const float* B,
                                 int64_t ldb, const float* beta, float* C, int64_t ldc) {
  return gemm("cublasSgemm", handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}
cublasStatus_t cublasDgemm_v2_64(cublasHandle_t handle, cublasOperation_t transa,
                                 cublasOperation_t transb, int64_t m, int64_t n, int64_t k,
                                 const double* alpha, const double* A, int64_t lda, const double* B,
                                 int64_t ldb, const double* beta, double* C, int64_t ldc) {
  return gemm("cublasDgemm", handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}
cublasStatus_t cublasSgemv_v2_64(cublasHandle_t handle, cublasOperation_t trans, int64_t m,
                                 int64_t n, const float* alpha, const float* A, int64_t lda,
                                 const float* x, int64_t incx, const float* beta, float* y,
                                 int64_t incy) {
  return gemv("cublasSgemv", handle, trans, m, n, alpha, A, lda, x, incx, beta, y, incy);
}
cublasStatus_t cublasDgemv_v2_64(cublasHandle_t handle, cublasOperation_t trans, int64_t m,
                                 int64_t n, const double* alpha, const double* A, int64_t lda,
                                 const double* x, int64_t incx, const double* beta, double* y,
                                 int64_t incy) {
  return gemv("cublasDgemv", handle, trans, m, n, alpha, A, lda, x, incx, beta, y, incy);
}
cublasStatus_t cublasSgeam_64(cublasHandle_t handle, cublasOperation_t transa,
                              cublasOperation_t transb, int64_t m, int64_t n, const float* alpha,
                              const float* A, int64_t lda, const float* beta, const float* B,
                              int64_t ldb, float* C, int64_t ldc) {
  return geam("cublasSgeam", handle, transa, transb, m, n, alpha, A, lda, beta, B, ldb, C, ldc);
}
cublasStatus_t cublasDgeam_64(cublasHandle_t handle, cublasOperation_t transa,
                              cublasOperation_t transb, int64_t m, int64_t n, const double* alpha,
                              const double* A, int64_t lda, const double* beta, const double* B,
                              int64_t ldb, double* C, int64_t ldc) {
  return geam("cublasDgeam", handle, transa, transb, m, n, alpha, A, lda, beta, B, ldb, C, ldc);
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t transa,
                               cublasOperation_t transb, int64_t m, int64_t n, int64_t k,
                               const void* alpha, const void* A, cudaDataType Atype, int64_t lda,
                               const void* B, cudaDataType Btype, int64_t ldb, const void* beta,
                               void* C, cudaDataType Ctype, int64_t ldc,
                               cublasComputeType_t computeType, cublasGemmAlgo_t algo) {
  return blas_call("cublasGemmEx", handle, [&](const BlasHandle& blas) {
    const auto scale = scale_type(computeType, Atype, Btype, Ctype);
    check_algorithm(algo);
    const Gemm product(transa, transb, m, n, k, A, Atype, lda, B, Btype, ldb, C, Ctype, ldc);
    enqueue_gemm(blas, product, scalars(blas, alpha, beta, scale));
    record(" ", product.sizes(), " compute ", static_cast<int>(computeType));
  });
}

cublasStatus_t cublasGemmStridedBatchedEx_64(
    cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int64_t m, int64_t n,
    int64_t k, const void* alpha, const void* A, cudaDataType Atype, int64_t lda, long long strideA,
    const void* B, cudaDataType Btype, int64_t ldb, long long strideB, const void* beta, void* C,
    cudaDataType Ctype, int64_t ldc, long long strideC, int64_t batchCount,
    cublasComputeType_t computeType, cublasGemmAlgo_t algo) {
  return blas_call("cublasGemmStridedBatchedEx", handle, [&](const BlasHandle& blas) {
    const auto scale = scale_type(computeType, Atype, Btype, Ctype);
    check_algorithm(algo);
    if (batchCount < 0) {
      refuse(invalid, "a batch of ", batchCount);
    }
    const Gemm one(transa, transb, m, n, k, A, Atype, lda, B, Btype, ldb, C, Ctype, ldc);
    const auto [alpha_, beta_] = scalars(blas, alpha, beta, scale);
    if (one.c.empty() || batchCount == 0) {
      return;
    }
    whole_batch(one.a, strideA, batchCount).check_held();
    whole_batch(one.b, strideB, batchCount).check_held();
    whole_batch(one.c, strideC, batchCount).check_held();
    if (!is_apart(one.c, strideC, batchCount)) {
      throw MemoryFault("results of the batch overlap");
    }
    for (std::int64_t i = 0; i < batchCount; ++i) {
      for (std::int64_t j = 0; j < batchCount; ++j) {
        check_apart(one.c.moved(i * strideC), {one.a.moved(j * strideA), one.b.moved(j * strideB)});
      }
    }
    enqueue_blas(blas, [=, factor = alpha_, kept = beta_] {
      for (std::int64_t i = 0; i < batchCount; ++i) {
        one.moved(i * strideA, i * strideB, i * strideC).run(factor.value(), kept.value());
      }
    });
    record(" ", one.sizes(), " batch ", batchCount, " strides ", strideA, " ", strideB, " ",
           strideC);
  });
}

cublasStatus_t cublasGemmGroupedBatchedEx_64(
    cublasHandle_t handle, const cublasOperation_t transa_array[],
    const cublasOperation_t transb_array[], const int64_t m_array[], const int64_t n_array[],
    const int64_t k_array[], const void* alpha_array, const void* const Aarray[],
    cudaDataType_t Atype, const int64_t lda_array[], const void* const Barray[],
    cudaDataType_t Btype, const int64_t ldb_array[], const void* beta_array, void* const Carray[],
    cudaDataType_t Ctype, const int64_t ldc_array[], int64_t group_count,
    const int64_t group_size[], cublasComputeType_t computeType) {
  return blas_call("cublasGemmGroupedBatchedEx", handle, [&](const BlasHandle& blas) {
    const auto scale = scale_type(computeType, Atype, Btype, Ctype);
    if (Atype != Ctype || blas.scalars_on_device) {
      refuse(CUBLAS_STATUS_NOT_SUPPORTED, "groups have one type, and alpha and beta on the host");
    }
    if (group_count < 0) {
      refuse(invalid, group_count, " groups");
    }
    const std::initializer_list<const void*> on_host = {
        transa_array, transb_array, m_array,   n_array,    k_array,   alpha_array,
        lda_array,    ldb_array,    ldc_array, group_size, beta_array};
    for (const void* const array : on_host) {
      if (place_of(array) == Place::device) {
        throw MemoryFault("an array of the groups is on the device");
      }
    }
    const auto grouped = std::make_shared<Grouped>();
    std::int64_t count = 0;
    std::string sizes;
    for (std::int64_t g = 0; g < group_count; ++g) {
      if (group_size[g] < 0) {
        refuse(invalid, "a group of ", group_size[g]);
      }
      const auto at = [&](const void* array) {
        return static_cast<const std::byte*>(array) + static_cast<std::size_t>(g) * size_of(scale);
      };
      grouped->gemms.emplace_back(transa_array[g], transb_array[g], m_array[g], n_array[g],
                                  k_array[g], nullptr, Atype, lda_array[g], nullptr, Btype,
                                  ldb_array[g], nullptr, Ctype, ldc_array[g]);
      grouped->counts.push_back(group_size[g]);
      grouped->alphas.push_back(Scalar("alpha", at(alpha_array), false, scale).value());
      grouped->betas.push_back(Scalar("beta", at(beta_array), false, scale).value());
      count += group_size[g];
      sizes += text(" (", group_size[g], " x ", grouped->gemms.back().sizes(), ")");
    }
    if (count == 0) {
      return;
    }
    const Address tables[] = {address_of(Aarray), address_of(Barray), address_of(Carray)};
    for (const Address table : tables) {
      state().device.check_held(table, static_cast<std::size_t>(count) * sizeof(Address));
    }
    enqueue_blas(blas, [=, a = tables[0], b = tables[1], c = tables[2]] {
      const auto as = addresses(a, count);
      const auto bs = addresses(b, count);
      const auto cs = addresses(c, count);
      std::size_t next = 0;
      for (std::size_t g = 0; g < grouped->gemms.size(); ++g) {
        for (std::int64_t i = 0; i < grouped->counts[g]; ++i, ++next) {
          Gemm product = grouped->gemms[g];
          product.a.address = as[next];
          product.b.address = bs[next];
          product.c.address = cs[next];
          product.run(grouped->alphas[g], grouped->betas[g]);
        }
      }
    });
    record(sizes);
  });
}
