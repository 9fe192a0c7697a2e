// SPDX-License-Identifier: MIT
#include "fake_gpu_test.hpp"

#include <cublas_v2.h>
#include <cusolverDn.h>

#include <Eigen/Core>

#include <cmath>
#include <cstdint>
#include <limits>

using namespace fake_cuda_test;

namespace {

using Eigen::MatrixXd;

constexpr auto type = CUDA_R_64F;
constexpr auto lower = CUBLAS_FILL_MODE_LOWER;
constexpr auto upper = CUBLAS_FILL_MODE_UPPER;
const double unread = std::numeric_limits<double>::quiet_NaN();

void ok(cusolverStatus_t status) {
  INFO(fake_cuda::last_fault());
  CHECK_EQ(status, CUSOLVER_STATUS_SUCCESS);
}
using fake_cuda_test::ok;

std::vector<double> entries(const MatrixXd& matrix) {
  return {matrix.data(), matrix.data() + matrix.size()};
}
MatrixXd matrix(const Buffer<double>& buffer, Eigen::Index rows, Eigen::Index cols) {
  const auto values = buffer.values();
  return Eigen::Map<const MatrixXd>(values.data(), rows, cols);
}
/// Well above what rounding of a few dozen operations on entries near 1 can do.
bool is_near(const MatrixXd& left, const MatrixXd& right) {
  return (left - right).cwiseAbs().maxCoeff() < 1e-12;
}

struct Solver {
  Solver() {
    ok(cusolverDnCreate(&handle));
    ok(cusolverDnSetStream(handle, stream));
    ok(cusolverDnCreateParams(&params));
  }
  Solver(const Solver&) = delete;
  Solver& operator=(const Solver&) = delete;
  ~Solver() {
    static_cast<void>(cusolverDnDestroyParams(params));
    static_cast<void>(cusolverDnDestroy(handle));
  }

  Stream stream;
  cusolverDnHandle_t handle = nullptr;
  cusolverDnParams_t params = nullptr;
  Buffer<int> info{stream, 1};
};

/// What a call needs besides its operands, in the sizes that a query has told.
struct Workspaces {
  template <class Query>
  Workspaces(cudaStream_t stream, Query&& query) : Workspaces(stream, sizes(query)) {}
  Workspaces(cudaStream_t stream, std::pair<std::size_t, std::size_t> sizes)
      : device_bytes(sizes.first),
        host_bytes(sizes.second),
        device(stream, device_bytes),
        host(host_bytes) {}

  template <class Query>
  static std::pair<std::size_t, std::size_t> sizes(Query&& query) {
    std::pair<std::size_t, std::size_t> result;
    ok(query(&result.first, &result.second));
    CHECK_EQ(result.first % 2, 1);
    CHECK_EQ(result.second % 2, 1);
    CHECK_NE(result.first, result.second);
    return result;
  }

  std::size_t device_bytes;
  std::size_t host_bytes;
  Buffer<char> device;
  std::vector<char> host;
};

struct Cholesky : Solver {
  MatrixXd values{{4, 2, 2}, {2, 5, 3}, {2, 3, 6}};
  Workspaces space{stream, [this](std::size_t* on_device, std::size_t* on_host) {
                     return cusolverDnXpotrf_bufferSize(handle, params, lower, 3, type, nullptr, 3,
                                                        type, on_device, on_host);
                   }};

  cusolverStatus_t potrf(double* a, cublasFillMode_t uplo = lower) {
    return potrf(a, uplo, space.device, space.device_bytes, space.host.data(), space.host_bytes,
                 info);
  }
  cusolverStatus_t potrf(double* a, cublasFillMode_t uplo, void* device, std::size_t device_bytes,
                         void* host, std::size_t host_bytes, int* to) {
    return cusolverDnXpotrf(handle, params, uplo, 3, type, a, 3, type, device, device_bytes, host,
                            host_bytes, to);
  }
};

} // namespace

TEST_CASE("geqrf and orgqr give an orthonormal factor") {
  fake_cuda::reset();
  Solver solver;
  const MatrixXd values{{1, 2}, {3, 4}, {5, 7}};
  Buffer<double> a(solver.stream, entries(values));
  Buffer<double> tau(solver.stream, 2);
  Workspaces space(solver.stream, [&](std::size_t* on_device, std::size_t* on_host) {
    return cusolverDnXgeqrf_bufferSize(solver.handle, solver.params, 3, 2, type, nullptr, 3, type,
                                       nullptr, type, on_device, on_host);
  });
  const auto geqrf = [&](std::int64_t ld, double* factors) {
    return cusolverDnXgeqrf(solver.handle, solver.params, 3, 2, type, a, ld, type, factors, type,
                            space.device, space.device_bytes, space.host.data(), space.host_bytes,
                            solver.info);
  };
  CHECK_EQ(geqrf(2, tau), CUSOLVER_STATUS_INVALID_VALUE);
  CHECK_EQ(geqrf(3, a), CUSOLVER_STATUS_EXECUTION_FAILED);
  double host[2];
  CHECK_EQ(geqrf(3, host), CUSOLVER_STATUS_EXECUTION_FAILED);
  fake_cuda::clear_log();
  ok(geqrf(3, tau));
  CHECK_EQ(fake_cuda::log().back(), "cusolverDnXgeqrf 3 2 ld 3");
  const MatrixXd r = matrix(a, 3, 2).topRows(2).triangularView<Eigen::Upper>();

  int entries_needed = 0;
  ok(cusolverDnDorgqr_bufferSize(solver.handle, 3, 2, 2, a, 3, tau, &entries_needed));
  CHECK_EQ(entries_needed % 2, 1);
  Buffer<double> work(solver.stream, static_cast<std::size_t>(entries_needed));
  const auto orgqr = [&](int k, int size) {
    return cusolverDnDorgqr(solver.handle, 3, 2, k, a, 3, tau, work, size, solver.info);
  };
  CHECK_EQ(orgqr(3, entries_needed), CUSOLVER_STATUS_INVALID_VALUE);
  CHECK_EQ(orgqr(2, entries_needed - 1), CUSOLVER_STATUS_INVALID_WORKSPACE);
  CHECK_EQ(orgqr(2, entries_needed + 1), CUSOLVER_STATUS_EXECUTION_FAILED);
  ok(orgqr(2, entries_needed));
  const MatrixXd q = matrix(a, 3, 2);
  CHECK(is_near(q.transpose() * q, MatrixXd::Identity(2, 2)));
  CHECK(is_near(q * r, values));
  CHECK_EQ(solver.info.download(solver.stream), 0);
}

TEST_CASE("gesvd of a tall matrix, which it destroys") {
  for (const char job : {'S', 'A'}) {
    fake_cuda::reset();
    Solver solver;
    const std::int64_t m = 4;
    const std::int64_t n = 2;
    const std::int64_t u_cols = job == 'A' ? m : n;
    const auto j = static_cast<signed char>(job);
    const MatrixXd values{{1, 2}, {3, 4}, {5, 7}, {0, 1}};
    Buffer<double> a(solver.stream, entries(values));
    Buffer<double> s(solver.stream, 2);
    Buffer<double> u(solver.stream, static_cast<std::size_t>(m * u_cols));
    Buffer<double> vt(solver.stream, 4);
    const auto query = [&](std::int64_t rows, signed char left, std::size_t* on_device,
                           std::size_t* on_host) {
      return cusolverDnXgesvd_bufferSize(solver.handle, solver.params, left, j, rows, n, type,
                                         nullptr, m, type, nullptr, type, nullptr, m, type, nullptr,
                                         n, type, on_device, on_host);
    };
    std::size_t size = 0;
    CHECK_EQ(query(1, j, &size, &size), CUSOLVER_STATUS_INVALID_VALUE);
    CHECK_CONTAINS(fake_cuda::last_fault(), "wide");
    CHECK_EQ(query(m, 'X', &size, &size), CUSOLVER_STATUS_INVALID_VALUE);
    Workspaces space(solver.stream, [&](std::size_t* on_device, std::size_t* on_host) {
      return query(m, j, on_device, on_host);
    });
    const auto gesvd = [&](double* left, std::int64_t ldvt) {
      return cusolverDnXgesvd(solver.handle, solver.params, j, j, m, n, type, a, m, type, s, type,
                              left, m, type, vt, ldvt, type, space.device, space.device_bytes,
                              space.host.data(), space.host_bytes, solver.info);
    };
    CHECK_EQ(gesvd(u, 1), CUSOLVER_STATUS_INVALID_VALUE);
    CHECK_EQ(gesvd(a, 2), CUSOLVER_STATUS_EXECUTION_FAILED);
    ok(gesvd(u, 2));
    const MatrixXd left = matrix(u, m, u_cols);
    const MatrixXd right = matrix(vt, 2, 2);
    const Eigen::VectorXd singular = matrix(s, 2, 1);
    CHECK_GE(singular(0), singular(1));
    CHECK(is_near(left.transpose() * left, MatrixXd::Identity(u_cols, u_cols)));
    CHECK(is_near(left.leftCols(2) * singular.asDiagonal() * right, values));
    CHECK(std::isnan(a.download(solver.stream)));
    CHECK_EQ(solver.info.download(solver.stream), 0);
  }
}

TEST_CASE("potrf reads one triangle and says where it fails") {
  for (const auto uplo : {lower, upper}) {
    fake_cuda::reset();
    Cholesky c;
    MatrixXd given = c.values;
    if (uplo == lower) {
      given.triangularView<Eigen::StrictlyUpper>().setConstant(-7);
    } else {
      given.triangularView<Eigen::StrictlyLower>().setConstant(-7);
    }
    Buffer<double> a(c.stream, entries(given));
    ok(c.potrf(a, uplo));
    const MatrixXd factor = matrix(a, 3, 3);
    MatrixXd l = MatrixXd::Zero(3, 3);
    if (uplo == lower) {
      l = factor.triangularView<Eigen::Lower>();
    } else {
      l = factor.triangularView<Eigen::Upper>().transpose();
    }
    CHECK(is_near(l * l.transpose(), c.values));
    CHECK_EQ(uplo == lower ? factor(0, 2) : factor(2, 0), -7);
    CHECK_EQ(c.info.download(c.stream), 0);
    c.values(1, 1) = 1; // the second leading minor is 0
    Buffer<double> b(c.stream, entries(c.values));
    ok(c.potrf(b, uplo));
    CHECK_EQ(c.info.download(c.stream), 2);
  }
}

TEST_CASE("syevd of one triangle, values ascending") {
  fake_cuda::reset();
  Solver solver;
  const MatrixXd values{{2, 1}, {1, 2}};
  for (const auto uplo : {lower, upper}) {
    MatrixXd given = values;
    (uplo == lower ? given(0, 1) : given(1, 0)) = unread;
    Buffer<double> a(solver.stream, entries(given));
    Buffer<double> w(solver.stream, 2);
    Workspaces space(solver.stream, [&](std::size_t* on_device, std::size_t* on_host) {
      return cusolverDnXsyevd_bufferSize(solver.handle, solver.params, CUSOLVER_EIG_MODE_VECTOR,
                                         uplo, 2, type, nullptr, 2, type, nullptr, type, on_device,
                                         on_host);
    });
    ok(cusolverDnXsyevd(solver.handle, solver.params, CUSOLVER_EIG_MODE_VECTOR, uplo, 2, type, a, 2,
                        type, w, type, space.device, space.device_bytes, space.host.data(),
                        space.host_bytes, solver.info));
    const MatrixXd v = matrix(a, 2, 2);
    const Eigen::VectorXd eigenvalues = matrix(w, 2, 1);
    CHECK(is_near(eigenvalues, Eigen::Vector2d(1, 3)));
    CHECK(is_near(v * eigenvalues.asDiagonal() * v.transpose(), values));
  }
}

TEST_CASE("workspaces and info are where and what they should be") {
  fake_cuda::reset();
  Cholesky c;
  Buffer<double> a(c.stream, entries(c.values));
  const auto potrf = [&](std::size_t device_bytes, void* host, std::size_t host_bytes, int* info) {
    return c.potrf(a, lower, c.space.device, device_bytes, host, host_bytes, info);
  };
  const auto device_bytes = c.space.device_bytes;
  const auto host_bytes = c.space.host_bytes;
  char* const host = c.space.host.data();
  CHECK_EQ(potrf(device_bytes - 1, host, host_bytes, c.info), CUSOLVER_STATUS_INVALID_WORKSPACE);
  CHECK_EQ(potrf(device_bytes, host, 0, c.info), CUSOLVER_STATUS_INVALID_WORKSPACE);
  CHECK_EQ(potrf(host_bytes, host, device_bytes, c.info), CUSOLVER_STATUS_INVALID_WORKSPACE);
  CHECK_EQ(potrf(device_bytes + 1, host, host_bytes, c.info), CUSOLVER_STATUS_EXECUTION_FAILED);
  CHECK_EQ(potrf(device_bytes, nullptr, host_bytes, c.info), CUSOLVER_STATUS_EXECUTION_FAILED);
  CHECK_EQ(potrf(device_bytes, c.space.device, host_bytes, c.info),
           CUSOLVER_STATUS_EXECUTION_FAILED);
  int info = 0;
  CHECK_EQ(potrf(device_bytes, host, host_bytes, &info), CUSOLVER_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "info: 4 bytes");
  CHECK_EQ(c.potrf(a, lower, host, device_bytes, host, host_bytes, c.info),
           CUSOLVER_STATUS_EXECUTION_FAILED);
  ok(potrf(device_bytes, host, host_bytes, c.info));
  CHECK_EQ(c.info.download(c.stream), 0);
  CHECK_EQ(host[0], '\xFF'); // it was used

  // A workspace that is the operand.
  Buffer<double> both(c.stream, device_bytes / 8 + 1);
  ok(c.potrf(both, lower, both, device_bytes, host, host_bytes, c.info));
  CHECK_NE(c.info.download(c.stream), 0);
}

TEST_CASE("arguments and handles that cuSOLVER refuses") {
  fake_cuda::reset();
  std::size_t size = 0;
  cusolverDnHandle_t dead = nullptr;
  cusolverDnParams_t dead_params = nullptr;
  {
    Solver solver;
    dead = solver.handle;
    dead_params = solver.params;
    CHECK_EQ(fake_cuda::balance().library_handles, 2);
    const auto query = [&](cusolverDnHandle_t handle, cusolverDnParams_t params,
                           cublasFillMode_t uplo, std::int64_t n, cudaDataType compute) {
      return cusolverDnXpotrf_bufferSize(handle, params, uplo, n, type, nullptr, 3, compute, &size,
                                         &size);
    };
    ok(query(dead, dead_params, lower, 3, type));
    CHECK_EQ(query(nullptr, dead_params, lower, 3, type), CUSOLVER_STATUS_NOT_INITIALIZED);
    CHECK_EQ(query(dead, nullptr, lower, 3, type), CUSOLVER_STATUS_INVALID_VALUE);
    CHECK_EQ(query(dead, dead_params, CUBLAS_FILL_MODE_FULL, 3, type),
             CUSOLVER_STATUS_INVALID_VALUE);
    CHECK_EQ(query(dead, dead_params, lower, 4, type), CUSOLVER_STATUS_INVALID_VALUE);
    CHECK_EQ(query(dead, dead_params, lower, -1, type), CUSOLVER_STATUS_INVALID_VALUE);
    CHECK_EQ(query(dead, dead_params, lower, 3, CUDA_R_32F), CUSOLVER_STATUS_INVALID_VALUE);
    ok(cusolverDnSetDeterministicMode(dead, CUSOLVER_DETERMINISTIC_RESULTS));
    fake_cuda::fail_at(0);
    CHECK_EQ(query(dead, dead_params, lower, 3, type), CUSOLVER_STATUS_INTERNAL_ERROR);
  }
  CHECK_EQ(cusolverDnDestroy(dead), CUSOLVER_STATUS_NOT_INITIALIZED);
  CHECK_EQ(cusolverDnDestroyParams(dead_params), CUSOLVER_STATUS_INVALID_VALUE);
  CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
}

TEST_CASE("each call of the three libraries can be made to fail") {
  // How many calls fail: after the first, all is given back.
  const auto work = [] {
    long failed = 0;
    const auto succeeds = [&](auto status) {
      failed += static_cast<int>(status) != 0 ? 1 : 0;
      return failed == 0;
    };
    cudaStream_t stream = nullptr;
    cublasHandle_t blas = nullptr;
    cusolverDnHandle_t solver = nullptr;
    cusolverDnParams_t params = nullptr;
    void* memory = nullptr;
    std::size_t device_bytes = 0;
    std::size_t host_bytes = 0;
    std::vector<char> host;
    const double one = 1;
    if (succeeds(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)) &&
        succeeds(cublasCreate(&blas)) && succeeds(cublasSetStream(blas, stream)) &&
        succeeds(cusolverDnCreate(&solver)) && succeeds(cusolverDnSetStream(solver, stream)) &&
        succeeds(cusolverDnCreateParams(&params)) &&
        succeeds(cusolverDnXpotrf_bufferSize(solver, params, lower, 1, type, nullptr, 1, type,
                                             &device_bytes, &host_bytes)) &&
        succeeds(cudaMallocAsync(&memory, 1024 + device_bytes, stream))) {
      host.resize(host_bytes);
      auto* const a = static_cast<double*>(memory);
      auto* const info = reinterpret_cast<int*>(a + 1);
      if (succeeds(cudaMemcpyAsync(a, &one, 8, cudaMemcpyHostToDevice, stream)) &&
          succeeds(cublasDgemm_64(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a, 1, &one,
                                  a + 8, 1)) &&
          succeeds(cusolverDnXpotrf(solver, params, lower, 1, type, a, 1, type, a + 128,
                                    device_bytes, host.data(), host_bytes, info))) {
        static_cast<void>(succeeds(cudaStreamSynchronize(stream)));
      }
      ok(cudaFreeAsync(memory, stream));
    }
    if (params != nullptr) {
      ok(cusolverDnDestroyParams(params));
    }
    if (solver != nullptr) {
      ok(cusolverDnDestroy(solver));
    }
    if (blas != nullptr) {
      CHECK_EQ(cublasDestroy(blas), CUBLAS_STATUS_SUCCESS);
    }
    if (stream != nullptr) {
      ok(cudaStreamDestroy(stream));
    }
    return failed;
  };
  fake_cuda::reset();
  CHECK_EQ(work(), 0);
  const long calls = fake_cuda::calls();
  CHECK_EQ(calls, 12);
  for (long n = 0; n < calls; ++n) {
    fake_cuda::fail_at(n);
    CHECK_EQ(work(), 1);
    CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
  }
  CHECK_EQ(fake_cuda::counters().faults, 0);
}
