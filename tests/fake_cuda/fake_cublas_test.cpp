// SPDX-License-Identifier: MIT
#include "fake_gpu_test.hpp"

#include <cublas_v2.h>

#include <cmath>
#include <cstdint>
#include <limits>

using namespace fake_cuda_test;

namespace {

constexpr auto N = CUBLAS_OP_N;
constexpr auto T = CUBLAS_OP_T;

void ok(cublasStatus_t status) {
  INFO(fake_cuda::last_fault());
  CHECK_EQ(status, CUBLAS_STATUS_SUCCESS);
}
using fake_cuda_test::ok;

struct Blas {
  Blas() {
    ok(cublasCreate(&handle));
    ok(cublasSetStream(handle, stream));
  }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas() { static_cast<void>(cublasDestroy(handle)); }

  Stream stream;
  cublasHandle_t handle = nullptr;
};

/// C of 2 x 2 = op(A) op(B) with k = 3.
struct Product : Blas {
  Buffer<float> a{stream, {1, 2, 3, 4, 5, 6}}; // columns (1 2) (3 4) (5 6)
  Buffer<float> b{stream, {1, 0, 1, 0, 2, 0}}; // columns (1 0 1) (0 2 0)
  Buffer<float> c{stream, 4};
  float one = 1;
  float zero = 0;

  cublasStatus_t gemm(const float* from, std::int64_t lda, float* to, std::int64_t ldc,
                      std::int64_t m = 2, std::int64_t k = 3) {
    return cublasSgemm_64(handle, N, N, m, 2, k, &one, from, lda, b, 3, &zero, to, ldc);
  }
};

} // namespace

TEST_CASE("gemm by the book, and its line in the log") {
  fake_cuda::reset();
  Product p;
  fake_cuda::clear_log();
  ok(p.gemm(p.a, 2, p.c, 2));
  CHECK_EQ(fake_cuda::log(), std::vector<std::string>{"cublasSgemm N N 2 2 3 ld 2 3 2"});
  CHECK_EQ(p.c.values(), std::vector<float>{6, 8, 6, 8});
  const float two = 2;
  // C = 2 A^T B^T + C: A^T of 2 x 3 from 3 x 2 in b's memory.
  ok(cublasSgemm_64(p.handle, T, T, 2, 2, 3, &two, p.b, 3, p.a, 2, &p.one, p.c, 2));
  CHECK_EQ(p.c.values(), std::vector<float>{6 + 12, 8 + 12, 6 + 16, 8 + 16});
  CHECK_EQ(fake_cuda::counters().library_calls, 2);

  Buffer<double> d(p.stream, std::vector<double>{3});
  const double scale = 0.5;
  CHECK_EQ(cublasDgemm_64(p.handle, N, N, 1, 1, 1, &scale, d, 1, d, 1, &scale, d, 1),
           CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "C overlaps A");
}

TEST_CASE("beta = 0 does not read C, and k = 0 scales it") {
  fake_cuda::reset();
  Product p; // C holds NaN
  ok(p.gemm(p.a, 2, p.c, 2));
  CHECK_FALSE(std::isnan(p.c.download(p.stream)));
  const float two = 2;
  ok(cublasSgemm_64(p.handle, N, N, 2, 2, 0, &two, nullptr, 2, nullptr, 1, &two, p.c, 2));
  CHECK_EQ(p.c.values(), std::vector<float>{12, 16, 12, 16});
  ok(cublasSgemm_64(p.handle, N, N, 0, 2, 3, &two, nullptr, 1, nullptr, 3, &two, nullptr, 1));
}

TEST_CASE("arguments that cuBLAS refuses") {
  fake_cuda::reset();
  Product p;
  CHECK_EQ(p.gemm(p.a, 1, p.c, 2), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the leading dimension 1 of A is less than its 2 rows");
  CHECK_EQ(p.gemm(p.a, 2, p.c, 1), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(p.gemm(p.a, 2, p.c, 2, -1), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(cublasSgemm_64(p.handle, static_cast<cublasOperation_t>(3), N, 2, 2, 3, &p.one, p.a, 2,
                          p.b, 3, &p.zero, p.c, 2),
           CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(cublasSgemm_64(p.handle, N, N, 2, 2, 3, nullptr, p.a, 2, p.b, 3, &p.zero, p.c, 2),
           CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(cublasSgemm_64(nullptr, N, N, 2, 2, 3, &p.one, p.a, 2, p.b, 3, &p.zero, p.c, 2),
           CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK_EQ(cublasSetPointerMode(p.handle, static_cast<cublasPointerMode_t>(1)),
           CUBLAS_STATUS_SUCCESS);
  CHECK_EQ(cublasSetStream(p.handle, reinterpret_cast<cudaStream_t>(16)),
           CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_EQ(std::string(cublasGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED)),
           "CUBLAS_STATUS_NOT_SUPPORTED");
  CHECK_GT(std::string(cublasGetStatusString(CUBLAS_STATUS_ALLOC_FAILED)).size(), 0);
}

TEST_CASE("operands must be live memory of the device, to their last entry") {
  fake_cuda::reset();
  Product p;
  float host[6] = {};
  CHECK_EQ(p.gemm(host, 2, p.c, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "A: 24 bytes");
  CHECK_CONTAINS(fake_cuda::last_fault(), "pageable memory of the host");
  CHECK_EQ(p.gemm(p.a, 3, p.c, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "go 8 bytes beyond their allocation of 24");
  CHECK_EQ(p.gemm(p.a, 2, p.c, 3), CUBLAS_STATUS_EXECUTION_FAILED);
  float* freed = nullptr;
  ok(cudaMallocAsync(&freed, 24, p.stream));
  ok(cudaFreeAsync(freed, p.stream));
  CHECK_EQ(p.gemm(freed, 2, p.c, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "which was given back");
  ok(p.gemm(p.a, 2, p.c, 2));
  CHECK_EQ(fake_cuda::counters().library_calls, 1);
  CHECK_EQ(fake_cuda::counters().faults, 4);
}

TEST_CASE("blocks of one matrix are apart although their ranges are not") {
  fake_cuda::reset();
  Product p;
  Buffer<float> rows(p.stream, std::vector<float>(4 * 3, 1.F)); // 4 x 3
  // C = rows 2, 3 of the first two columns, A = rows 0, 1 of all.
  ok(cublasSgemm_64(p.handle, N, N, 2, 2, 3, &p.one, rows, 4, p.b, 3, &p.zero, rows + 2, 4));
  CHECK_EQ(rows.values(), std::vector<float>{1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 1, 1});
  CHECK_EQ(cublasSgemm_64(p.handle, N, N, 2, 2, 3, &p.one, rows, 4, p.b, 3, &p.zero, rows + 1, 4),
           CUBLAS_STATUS_EXECUTION_FAILED);
}

TEST_CASE("alpha and beta are where the pointer mode says") {
  fake_cuda::reset();
  Product p;
  Buffer<float> factors(p.stream, std::vector<float>{2, 0});
  const auto gemm = [&](const float* alpha, const float* beta) {
    return cublasSgemm_64(p.handle, N, N, 2, 2, 3, alpha, p.a, 2, p.b, 3, beta, p.c, 2);
  };
  CHECK_EQ(gemm(factors, &p.zero), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "alpha is on the device");
  ok(cublasSetPointerMode(p.handle, CUBLAS_POINTER_MODE_DEVICE));
  CHECK_EQ(gemm(&p.one, factors + 1), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "alpha: 4 bytes");
  ok(gemm(factors, factors + 1));
  CHECK_EQ(p.c.values(), std::vector<float>{12, 16, 12, 16});
  ok(cublasSetPointerMode(p.handle, CUBLAS_POINTER_MODE_HOST));
  float alpha = 1; // of the host: read at the call
  ok(gemm(&alpha, &p.zero));
  alpha = 5;
  CHECK_EQ(p.c.values(), std::vector<float>{6, 8, 6, 8});
}

TEST_CASE("GemmEx takes the types that cuBLAS takes") {
  fake_cuda::reset();
  Blas blas;
  using Half = std::uint16_t;
  Buffer<Half> a(blas.stream, std::vector<Half>{0x3F80, 0x4000}); // 1, 2
  Buffer<Half> b(blas.stream, std::vector<Half>{0x4040});         // 3
  Buffer<Half> c(blas.stream, 2);
  Buffer<float> wide(blas.stream, 2);
  const float one = 1.00390625F; // 1 + 2^-8: between two bfloat16
  const float zero = 0;
  const auto gemm = [&](const void* to_a, cudaDataType a_type, void* to, cudaDataType c_type,
                        cublasComputeType_t compute, cublasGemmAlgo_t algo = CUBLAS_GEMM_DEFAULT) {
    return cublasGemmEx_64(blas.handle, N, N, 2, 1, 1, &one, to_a, a_type, 2, b, CUDA_R_16BF, 1,
                           &zero, to, c_type, 2, compute, algo);
  };
  ok(gemm(a, CUDA_R_16BF, wide, CUDA_R_32F, CUBLAS_COMPUTE_32F));
  CHECK_EQ(wide.values(), std::vector<float>{3 * one, 6 * one});
  ok(gemm(a, CUDA_R_16BF, c, CUDA_R_16BF, CUBLAS_COMPUTE_32F_PEDANTIC));
  // 3.01171875 lies three quarters of the way from 3 to 3.015625.
  CHECK_EQ(c.values(), std::vector<Half>{0x4041, 0x40C1});
  CHECK_EQ(gemm(wide, CUDA_R_32F, wide, CUDA_R_32F, CUBLAS_COMPUTE_32F),
           CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK_EQ(gemm(a, CUDA_R_16BF, c, CUDA_R_16BF, CUBLAS_COMPUTE_32F_FAST_TF32),
           CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK_EQ(gemm(a, CUDA_R_16BF, c, CUDA_R_16BF, CUBLAS_COMPUTE_64F), CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK_EQ(gemm(a, CUDA_R_16BF, c, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_AUTOTUNE),
           CUBLAS_STATUS_NOT_SUPPORTED);
  Buffer<double> d(blas.stream, std::vector<double>{3});
  Buffer<double> square(blas.stream, 1);
  const double two = 2;
  const double none = 0;
  ok(cublasGemmEx_64(blas.handle, N, N, 1, 1, 1, &two, d, CUDA_R_64F, 1, d, CUDA_R_64F, 1, &none,
                     square, CUDA_R_64F, 1, CUBLAS_COMPUTE_64F, CUBLAS_GEMM_DEFAULT));
  CHECK_EQ(square.download(blas.stream), 18);
}

TEST_CASE("gemv with increments of either sign") {
  fake_cuda::reset();
  Product p;
  Buffer<float> x(p.stream, std::vector<float>{1, 9, 2, 9, 3});
  Buffer<float> y(p.stream, 2);
  const auto gemv = [&](cublasOperation_t op, const float* from, std::int64_t incx, float* to,
                        std::int64_t incy) {
    return cublasSgemv_64(p.handle, op, 2, 3, &p.one, p.a, 2, from, incx, &p.zero, to, incy);
  };
  ok(gemv(N, x, 2, y, 1));
  CHECK_EQ(y.values(), std::vector<float>{22, 28});
  ok(gemv(N, x, -2, y, -1)); // x = (3 2 1), y from its end
  CHECK_EQ(y.values(), std::vector<float>{20, 14});
  Buffer<float> z(p.stream, 3);
  ok(gemv(T, x, 4, z, 1)); // x = (1 3)
  CHECK_EQ(z.values(), std::vector<float>{7, 15, 23});
  CHECK_EQ(gemv(N, x, 0, y, 1), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(gemv(N, x, 3, y, 1), CUBLAS_STATUS_EXECUTION_FAILED); // too long
  CHECK_EQ(gemv(T, x, 1, z, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_EQ(gemv(N, x, 1, x, 1), CUBLAS_STATUS_EXECUTION_FAILED); // in place
}

TEST_CASE("geam adds and transposes, in place as far as cuBLAS does") {
  fake_cuda::reset();
  Product p;
  Buffer<float> square(p.stream, std::vector<float>{1, 2, 3, 4});
  const float two = 2;
  const auto geam = [&](cublasOperation_t op, const float* from, std::int64_t lda) {
    return cublasSgeam_64(p.handle, op, N, 2, 2, &p.one, from, lda, &two, square, 2, p.c, 2);
  };
  ok(geam(T, square, 2));
  CHECK_EQ(p.c.values(), std::vector<float>{3, 7, 8, 12});
  ok(geam(N, p.c, 2));
  CHECK_EQ(p.c.values(), std::vector<float>{5, 11, 14, 20});
  CHECK_EQ(geam(T, p.c, 2), CUBLAS_STATUS_INVALID_VALUE);
  Buffer<float> large(p.stream, std::vector<float>(6, 1.F));
  CHECK_EQ(cublasSgeam_64(p.handle, N, N, 2, 2, &p.one, large, 3, &two, square, 2, large, 2),
           CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(cublasSgeam_64(p.handle, N, N, 2, 2, &p.one, large + 1, 2, &two, square, 2, large, 2),
           CUBLAS_STATUS_EXECUTION_FAILED);
  ok(cublasSgeam_64(p.handle, N, N, 2, 2, &p.one, square, 2, &p.zero, nullptr, 2, p.c, 2));
  CHECK_EQ(p.c.values(), square.values());
}

TEST_CASE("a batch by strides") {
  fake_cuda::reset();
  Product p;
  Buffer<float> results(p.stream, 8);
  const auto gemm = [&](long long a_stride, long long c_stride, std::int64_t count) {
    return cublasGemmStridedBatchedEx_64(
        p.handle, N, N, 2, 2, 1, &p.one, p.a, CUDA_R_32F, 2, a_stride, p.b, CUDA_R_32F, 1, 0,
        &p.zero, results, CUDA_R_32F, 2, c_stride, count, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  ok(gemm(2, 4, 2)); // (1 2) (1 0) and (3 4) (1 0)
  CHECK_EQ(results.values(), std::vector<float>{1, 2, 0, 0, 3, 4, 0, 0});
  CHECK_EQ(gemm(2, 3, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "overlap");
  CHECK_EQ(gemm(2, 0, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_EQ(gemm(2, 4, 3), CUBLAS_STATUS_EXECUTION_FAILED); // beyond C
  CHECK_EQ(gemm(5, 4, 2), CUBLAS_STATUS_EXECUTION_FAILED); // beyond A
  CHECK_EQ(gemm(2, 4, -1), CUBLAS_STATUS_INVALID_VALUE);
  ok(gemm(2, 4, 0));
}

TEST_CASE("groups of products by tables on the device") {
  fake_cuda::reset();
  Product p;
  Buffer<float> d(p.stream, 1);
  Buffer<const void*> as(p.stream, std::vector<const void*>{p.a, p.a});
  Buffer<const void*> bs(p.stream, std::vector<const void*>{p.b, p.b});
  Buffer<void*> cs(p.stream, std::vector<void*>{p.c, d});
  const cublasOperation_t ops[] = {N, N};
  const std::int64_t ms[] = {2, 1};
  const std::int64_t ns[] = {2, 1};
  const std::int64_t ks[] = {3, 1};
  const std::int64_t ldas[] = {2, 2};
  const std::int64_t ldbs[] = {3, 1};
  const std::int64_t counts[] = {1, 1};
  const float alphas[] = {1, 10};
  const float betas[] = {0, 0};
  const auto gemm = [&](const void* const* first, const std::int64_t* sizes) {
    return cublasGemmGroupedBatchedEx_64(p.handle, ops, ops, ms, ns, ks, alphas, first, CUDA_R_32F,
                                         ldas, bs, CUDA_R_32F, ldbs, betas, cs, CUDA_R_32F, ldas, 2,
                                         sizes, CUBLAS_COMPUTE_32F);
  };
  fake_cuda::clear_log();
  ok(gemm(as, counts));
  CHECK_EQ(fake_cuda::log().back(), "cublasGemmGroupedBatchedEx (1 x N N 2 2 3 ld 2 3 2) "
                                    "(1 x N N 1 1 1 ld 2 1 2)");
  CHECK_EQ(p.c.values(), std::vector<float>{6, 8, 6, 8});
  CHECK_EQ(d.download(p.stream), 10);
  const void* host[] = {p.a, p.a};
  CHECK_EQ(gemm(host, counts), CUBLAS_STATUS_EXECUTION_FAILED);
  const std::int64_t too_many[] = {1, 2};
  CHECK_EQ(gemm(as, too_many), CUBLAS_STATUS_EXECUTION_FAILED);
  float stray = 0;
  Buffer<const void*> wrong(p.stream, std::vector<const void*>{p.a, &stray});
  ok(gemm(wrong, counts)); // nobody can tell yet
  CHECK_EQ(cudaStreamSynchronize(p.stream), cudaErrorIllegalAddress);
  CHECK_CONTAINS(fake_cuda::last_fault(), "cublasGemmGroupedBatchedEx");
  CHECK_EQ(p.gemm(p.a, 2, p.c, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  fake_cuda::reset();
}

TEST_CASE("a workspace is memory that holds nothing else, until the stream is set") {
  fake_cuda::reset();
  Product p;
  float host = 0;
  CHECK_EQ(cublasSetWorkspace(p.handle, &host, 4), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(cublasSetWorkspace(p.handle, p.a, 4096), CUBLAS_STATUS_EXECUTION_FAILED);
  ok(cublasSetWorkspace(p.handle, p.a, 24)); // where the operand lies
  ok(p.gemm(p.a, 2, p.c, 2));
  CHECK(std::isnan(p.c.download(p.stream)));
  cudaStream_t stream = nullptr;
  ok(cublasGetStream(p.handle, &stream));
  CHECK_EQ(stream, static_cast<cudaStream_t>(p.stream));
  ok(cublasSetStream(p.handle, stream)); // no workspace now
  const std::vector<float> entries{1, 2, 3, 4, 5, 6};
  ok(cudaMemcpyAsync(p.a, entries.data(), 24, cudaMemcpyHostToDevice, stream));
  const float* const again = p.a;
  ok(p.gemm(again, 2, p.c, 2));
  CHECK_EQ(p.c.download(p.stream), 6);

  float* workspace = nullptr;
  ok(cudaMallocAsync(&workspace, 1024, p.stream));
  ok(cublasSetWorkspace(p.handle, workspace, 1024));
  ok(cudaFreeAsync(workspace, p.stream));
  CHECK_EQ(p.gemm(again, 2, p.c, 2), CUBLAS_STATUS_EXECUTION_FAILED);
}

TEST_CASE("a handle works on the device where it was made") {
  fake_cuda::reset();
  Product p;
  ok(cudaSetDevice(1));
  CHECK_EQ(p.gemm(p.a, 2, p.c, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "but the current device is 1");
  const Stream there;
  ok(cublasSetStream(p.handle, there));
  CHECK_EQ(p.gemm(p.a, 2, p.c, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the handle is one of device 0, its stream one of");
  ok(cudaSetDevice(0));
  ok(cublasSetStream(p.handle, p.stream));
  ok(p.gemm(p.a, 2, p.c, 2));
  CHECK_EQ(p.c.values(), std::vector<float>{6, 8, 6, 8});
}

TEST_CASE("handles of cuBLAS are balanced, and their settings checked") {
  fake_cuda::reset();
  {
    const Blas blas;
    CHECK_EQ(fake_cuda::balance().library_handles, 1);
    CHECK_EQ(fake_cuda::counters().hidden_synchronizations, 1);
    CHECK_EQ(fake_cuda::counters().device_allocations, 1);
    ok(cublasSetMathMode(blas.handle, CUBLAS_PEDANTIC_MATH));
    CHECK_EQ(cublasSetMathMode(blas.handle, static_cast<cublasMath_t>(7)),
             CUBLAS_STATUS_INVALID_VALUE);
    ok(cublasSetAtomicsMode(blas.handle, CUBLAS_ATOMICS_NOT_ALLOWED));
    int version = 0;
    ok(cublasGetVersion(blas.handle, &version));
    CHECK_EQ(version, CUBLAS_VERSION);
    fake_cuda::fail_at(0);
    cublasHandle_t handle = nullptr;
    CHECK_EQ(cublasCreate(&handle), CUBLAS_STATUS_ALLOC_FAILED);
  }
  CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
  cublasHandle_t handle = nullptr;
  ok(cublasCreate(&handle));
  ok(cublasDestroy(handle));
  CHECK_EQ(cublasDestroy(handle), CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK_EQ(cublasSetStream(handle, nullptr), CUBLAS_STATUS_NOT_INITIALIZED);
}
