// SPDX-License-Identifier: MIT
#include "factorizations.hpp"
#include "handles.hpp"

#include <cusolverDn.h>

#include <algorithm>
#include <cstring>

namespace fake_cuda::detail {

struct SolverHandle {
  int device = current_device();
  cudaStream_t stream = nullptr;
};
struct SolverParams {};

template <>
struct Codes<cusolverStatus_t> {
  static cusolverStatus_t broken() { return CUSOLVER_STATUS_EXECUTION_FAILED; }
  static cusolverStatus_t of(cudaError_t /*status*/) { return CUSOLVER_STATUS_EXECUTION_FAILED; }
  static constexpr auto invalid = CUSOLVER_STATUS_INVALID_VALUE;
  static constexpr auto no_handle = CUSOLVER_STATUS_NOT_INITIALIZED;
  static constexpr auto refused = CUSOLVER_STATUS_EXECUTION_FAILED;
  static constexpr auto no_memory = CUSOLVER_STATUS_ALLOC_FAILED;
  static constexpr auto while_running = CUSOLVER_STATUS_EXECUTION_FAILED;
};

namespace {

constexpr auto invalid = CUSOLVER_STATUS_INVALID_VALUE;
constexpr auto success = CUSOLVER_STATUS_SUCCESS;

template <class... Parts>
[[noreturn]] void refuse(cusolverStatus_t status, const Parts&... parts) {
  throw Refusal<cusolverStatus_t>{status, text(parts...)};
}

std::shared_ptr<SolverHandle> solver_handle(cusolverDnHandle_t handle) {
  return find_handle<cusolverStatus_t>(state().session.solver_handles, handle);
}

/// The arguments that most calls have in common.
struct Task {
  cusolverDnHandle_t handle;
  cusolverDnParams_t params;
  std::int64_t rows;
  std::int64_t cols;
  cudaDataType type;
  std::int64_t ld;

  /// @throws Refusal for arguments that the library refuses.
  void check(std::initializer_list<cudaDataType> other_types) const {
    static_cast<void>(solver_handle(handle));
    if (state().session.solver_params.find(params) == nullptr) {
      refuse(invalid, "no cusolverDnParams_t, or one that was destroyed");
    }
    check_shape();
    for (const auto other : other_types) {
      if (other != type) {
        refuse(invalid, "data types ", static_cast<int>(type), " and ", static_cast<int>(other));
      }
    }
    if (type != CUDA_R_32F && type != CUDA_R_64F) {
      refuse(invalid, "data type ", static_cast<int>(type));
    }
  }
  void check_shape() const {
    if (rows < 0 || cols < 0 || ld < (std::max)(std::int64_t{1}, rows)) {
      refuse(invalid, "a matrix of ", rows, " x ", cols, " with the leading dimension ", ld);
    }
  }

  // Sizes that no caller guesses: odd, and never 0.
  [[nodiscard]] std::size_t device_bytes() const {
    const auto entries = static_cast<std::size_t>(rows * cols + 3 * cols + 11);
    return entries * size_of(type) | 1;
  }
  [[nodiscard]] std::size_t host_bytes() const {
    return static_cast<std::size_t>(14368 + 24 * (rows + cols)) | 1;
  }
};

cusolverStatus_t write_sizes(const Task& task, std::size_t* on_device, std::size_t* on_host) {
  if (on_device == nullptr || on_host == nullptr) {
    return invalid;
  }
  *on_device = task.device_bytes();
  *on_host = task.host_bytes();
  return success;
}

struct Workspaces {
  void* device;
  std::size_t device_bytes;
  void* host;
  std::size_t host_bytes;
};

/// @throws Refusal or MemoryFault if they are too small, or elsewhere than they should be.
void check_workspaces(const Task& task, const Workspaces& given) {
  if (given.device_bytes < task.device_bytes() || given.host_bytes < task.host_bytes()) {
    refuse(CUSOLVER_STATUS_INVALID_WORKSPACE, "workspaces of ", given.device_bytes, " and ",
           given.host_bytes, " bytes where ", task.device_bytes(), " and ", task.host_bytes(),
           " are needed");
  }
  state().device.check_held(address_of(given.device), given.device_bytes);
  if (given.host == nullptr || place_of(given.host) == Place::device) {
    throw MemoryFault("the workspace of the host is not memory of the host");
  }
  if (place_of(given.host) == Place::pinned) {
    state().pinned.check(address_of(given.host), given.host_bytes);
  }
  // The library uses it while the call lasts: callers give it back right after.
  std::memset(given.host, 0xFF, given.host_bytes);
}

Operand info_operand(int* info) { return {"info", address_of(info), CUDA_R_32I, 1, 1, 1}; }

/// Work whose outcome `body` returns for `info`. `with_host` has work of the host, which cannot be
/// captured.
template <class Body>
void enqueue_solver(cusolverDnHandle_t handle, int* info, Address workspace, std::size_t bytes,
                    bool with_host, Body body) {
  const auto solver = solver_handle(handle);
  const auto stream = stream_of(solver->stream);
  check_device(solver->device, *stream);
  info_operand(info).check_held();
  if (with_host) {
    forbid_captured(*stream);
  }
  const Address to = address_of(info);
  enqueue(stream, state().call, [=, body = std::move(body)] {
    spoil(workspace, bytes);
    const int outcome = body();
    std::memcpy(working_alias(to, sizeof outcome), &outcome, sizeof outcome);
  });
  ++state().session.counters.library_calls;
}

template <class Body>
cusolverStatus_t solver_call(const char* name, Body&& body) {
  return call<cusolverStatus_t>(name, CUSOLVER_STATUS_EXECUTION_FAILED, [&] {
    body();
    return success;
  });
}
template <class Body>
cusolverStatus_t query(const char* name, Body&& body) {
  return call<cusolverStatus_t>(name, CUSOLVER_STATUS_INTERNAL_ERROR, std::forward<Body>(body));
}

Operand column(const char* name, const void* data, cudaDataType type, std::int64_t size) {
  return {name, address_of(data), type, size, 1, (std::max)(std::int64_t{1}, size)};
}

} // namespace
} // namespace fake_cuda::detail

using namespace fake_cuda::detail;

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  return create_handle<cusolverStatus_t>("cusolverDnCreate", state().session.solver_handles,
                                         handle);
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  return destroy_handle<cusolverStatus_t>("cusolverDnDestroy", state().session.solver_handles,
                                          handle);
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  return query("cusolverDnSetStream", [&] {
    static_cast<void>(stream_of(stream));
    solver_handle(handle)->stream = stream;
    record();
    return success;
  });
}

cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t handle,
                                                cusolverDeterministicMode_t mode) {
  return query("cusolverDnSetDeterministicMode", [&] {
    static_cast<void>(solver_handle(handle));
    if (mode != CUSOLVER_DETERMINISTIC_RESULTS &&
        mode != CUSOLVER_ALLOW_NON_DETERMINISTIC_RESULTS) {
      return invalid;
    }
    record(" ", static_cast<int>(mode));
    return success;
  });
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params) {
  return call<cusolverStatus_t>("cusolverDnCreateParams", CUSOLVER_STATUS_ALLOC_FAILED, [&] {
    if (params == nullptr) {
      return invalid;
    }
    *params = state().session.solver_params.add(std::make_shared<SolverParams>());
    record();
    return success;
  });
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params) {
  return release_call<cusolverStatus_t>("cusolverDnDestroyParams", [&] {
    if (state().session.solver_params.remove(params) == nullptr) {
      refuse(invalid, "no cusolverDnParams_t, or one that was destroyed");
    }
    record();
    return success;
  });
}

cusolverStatus_t cusolverDnXgeqrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             int64_t m, int64_t n, cudaDataType dataTypeA,
                                             const void* /*A*/, int64_t lda,
                                             cudaDataType dataTypeTau, const void* /*tau*/,
                                             cudaDataType computeType, size_t* onDevice,
                                             size_t* onHost) {
  return query("cusolverDnXgeqrf_bufferSize", [&] {
    const Task task{handle, params, m, n, dataTypeA, lda};
    task.check({dataTypeTau, computeType});
    return write_sizes(task, onDevice, onHost);
  });
}

cusolverStatus_t cusolverDnXgeqrf(cusolverDnHandle_t handle, cusolverDnParams_t params, int64_t m,
                                  int64_t n, cudaDataType dataTypeA, void* A, int64_t lda,
                                  cudaDataType dataTypeTau, void* tau, cudaDataType computeType,
                                  void* bufferOnDevice, size_t onDevice, void* bufferOnHost,
                                  size_t onHost, int* info) {
  return solver_call("cusolverDnXgeqrf", [&] {
    const Task task{handle, params, m, n, dataTypeA, lda};
    task.check({dataTypeTau, computeType});
    check_workspaces(task, {bufferOnDevice, onDevice, bufferOnHost, onHost});
    const Operand a{"A", address_of(A), dataTypeA, m, n, lda};
    const auto factors = column("tau", tau, dataTypeTau, (std::min)(m, n));
    a.check_held();
    factors.check_held();
    check_apart(factors, {a});
    enqueue_solver(handle, info, address_of(bufferOnDevice), onDevice, true, [=] {
      run_geqrf(a, factors);
      return 0;
    });
    record(" ", m, " ", n, " ld ", lda);
  });
}

namespace {

int orgqr_entries(int m, int n) { return (m + 32 * n + 7) | 1; }

cusolverStatus_t orgqr_size(const char* name, cusolverDnHandle_t handle, cudaDataType type, int m,
                            int n, int k, int lda, int* lwork) {
  return query(name, [&] {
    static_cast<void>(solver_handle(handle));
    Task{handle, nullptr, m, n, type, lda}.check_shape();
    if (n > m || k < 0 || k > n || lwork == nullptr) {
      return invalid;
    }
    *lwork = orgqr_entries(m, n);
    return success;
  });
}

cusolverStatus_t orgqr(const char* name, cusolverDnHandle_t handle, cudaDataType type, int m, int n,
                       int k, void* A, int lda, const void* tau, void* work, int lwork, int* info) {
  return solver_call(name, [&] {
    static_cast<void>(solver_handle(handle));
    Task{handle, nullptr, m, n, type, lda}.check_shape();
    if (n > m || k < 0 || k > n) {
      refuse(invalid, k, " reflectors for ", m, " x ", n);
    }
    if (lwork < orgqr_entries(m, n)) {
      refuse(CUSOLVER_STATUS_INVALID_WORKSPACE, "a workspace of ", lwork, " entries where ",
             orgqr_entries(m, n), " are needed");
    }
    const Operand a{"A", address_of(A), type, m, n, lda};
    const auto factors = column("tau", tau, type, k);
    const auto space = column("work", work, type, lwork);
    a.check_held();
    factors.check_held();
    space.check_held();
    enqueue_solver(handle, info, space.address, space.extent(), false, [=] {
      run_orgqr(a, factors);
      return 0;
    });
    record(" ", m, " ", n, " ", k, " ld ", lda);
  });
}

} // namespace

cusolverStatus_t cusolverDnSorgqr_bufferSize(cusolverDnHandle_t handle, int m, int n, int k,
                                             const float* /*A*/, int lda, const float* /*tau*/,
                                             int* lwork) {
  return orgqr_size("cusolverDnSorgqr_bufferSize", handle, CUDA_R_32F, m, n, k, lda, lwork);
}
cusolverStatus_t cusolverDnDorgqr_bufferSize(cusolverDnHandle_t handle, int m, int n, int k,
                                             const double* /*A*/, int lda, const double* /*tau*/,
                                             int* lwork) {
  return orgqr_size("cusolverDnDorgqr_bufferSize", handle, CUDA_R_64F, m, n, k, lda, lwork);
}
cusolverStatus_t cusolverDnSorgqr(cusolverDnHandle_t handle, int m, int n, int k, float* A, int lda,
                                  const float* tau, float* work, int lwork, int* info) {
  return orgqr("cusolverDnSorgqr", handle, CUDA_R_32F, m, n, k, A, lda, tau, work, lwork, info);
}
cusolverStatus_t cusolverDnDorgqr(cusolverDnHandle_t handle, int m, int n, int k, double* A,
                                  int lda, const double* tau, double* work, int lwork, int* info) {
  return orgqr("cusolverDnDorgqr", handle, CUDA_R_64F, m, n, k, A, lda, tau, work, lwork, info);
}

namespace {

bool is_lower(cublasFillMode_t uplo) {
  if (uplo != CUBLAS_FILL_MODE_LOWER && uplo != CUBLAS_FILL_MODE_UPPER) {
    refuse(invalid, "no triangle: ", static_cast<int>(uplo));
  }
  return uplo == CUBLAS_FILL_MODE_LOWER;
}

} // namespace

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cublasFillMode_t uplo, int64_t n,
                                             cudaDataType dataTypeA, const void* /*A*/, int64_t lda,
                                             cudaDataType computeType, size_t* onDevice,
                                             size_t* onHost) {
  return query("cusolverDnXpotrf_bufferSize", [&] {
    const Task task{handle, params, n, n, dataTypeA, lda};
    task.check({computeType});
    static_cast<void>(is_lower(uplo));
    return write_sizes(task, onDevice, onHost);
  });
}

cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cublasFillMode_t uplo, int64_t n, cudaDataType dataTypeA, void* A,
                                  int64_t lda, cudaDataType computeType, void* bufferOnDevice,
                                  size_t onDevice, void* bufferOnHost, size_t onHost, int* info) {
  return solver_call("cusolverDnXpotrf", [&] {
    const Task task{handle, params, n, n, dataTypeA, lda};
    task.check({computeType});
    const bool lower = is_lower(uplo);
    check_workspaces(task, {bufferOnDevice, onDevice, bufferOnHost, onHost});
    const Operand a{"A", address_of(A), dataTypeA, n, n, lda};
    a.check_held();
    enqueue_solver(handle, info, address_of(bufferOnDevice), onDevice, true,
                   [=] { return run_potrf(a, lower); });
    record(" ", lower ? "L" : "U", " ", n, " ld ", lda);
  });
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cusolverEigMode_t jobz, cublasFillMode_t uplo,
                                             int64_t n, cudaDataType dataTypeA, const void* /*A*/,
                                             int64_t lda, cudaDataType dataTypeW, const void* /*W*/,
                                             cudaDataType computeType, size_t* onDevice,
                                             size_t* onHost) {
  return query("cusolverDnXsyevd_bufferSize", [&] {
    const Task task{handle, params, n, n, dataTypeA, lda};
    task.check({dataTypeW, computeType});
    static_cast<void>(is_lower(uplo));
    if (jobz != CUSOLVER_EIG_MODE_VECTOR && jobz != CUSOLVER_EIG_MODE_NOVECTOR) {
      return invalid;
    }
    return write_sizes(task, onDevice, onHost);
  });
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n,
                                  cudaDataType dataTypeA, void* A, int64_t lda,
                                  cudaDataType dataTypeW, void* W, cudaDataType computeType,
                                  void* bufferOnDevice, size_t onDevice, void* bufferOnHost,
                                  size_t onHost, int* info) {
  return solver_call("cusolverDnXsyevd", [&] {
    const Task task{handle, params, n, n, dataTypeA, lda};
    task.check({dataTypeW, computeType});
    const bool lower = is_lower(uplo);
    if (jobz != CUSOLVER_EIG_MODE_VECTOR && jobz != CUSOLVER_EIG_MODE_NOVECTOR) {
      refuse(invalid, "no mode: ", static_cast<int>(jobz));
    }
    const bool vectors = jobz == CUSOLVER_EIG_MODE_VECTOR;
    check_workspaces(task, {bufferOnDevice, onDevice, bufferOnHost, onHost});
    const Operand a{"A", address_of(A), dataTypeA, n, n, lda};
    const auto values = column("W", W, dataTypeW, n);
    a.check_held();
    values.check_held();
    check_apart(values, {a});
    enqueue_solver(handle, info, address_of(bufferOnDevice), onDevice, true,
                   [=] { return run_syevd(a, values, vectors, lower); });
    record(" ", vectors ? "V" : "N", " ", lower ? "L" : "U", " ", n, " ld ", lda);
  });
}

namespace {

/// What the library computes of U or VT. @throws Refusal for a job that is none.
std::int64_t computed(signed char job, std::int64_t all, std::int64_t some) {
  switch (job) {
  case 'A':
    return all;
  case 'S':
    return some;
  case 'N':
    return 0;
  case 'O':
    refuse(CUSOLVER_STATUS_NOT_SUPPORTED, "vectors in place of A");
  default:
    refuse(invalid, "no job: ", static_cast<int>(job));
  }
}

struct Svd {
  Task task;
  Operand u;
  Operand vt;

  void check(std::initializer_list<cudaDataType> types) const {
    task.check(types);
    if (task.rows < task.cols) {
      refuse(invalid, "gesvd of a wide matrix, ", task.rows, " x ", task.cols);
    }
    for (const auto& side : {u, vt}) {
      if (side.ld < (std::max)(std::int64_t{1}, side.empty() ? 1 : side.rows)) {
        refuse(invalid, "the leading dimension ", side.ld, " of ", side.name, " is less than its ",
               side.rows, " rows");
      }
    }
  }
};

} // namespace

cusolverStatus_t cusolverDnXgesvd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             signed char jobu, signed char jobvt, int64_t m,
                                             int64_t n, cudaDataType dataTypeA, const void* /*A*/,
                                             int64_t lda, cudaDataType dataTypeS, const void* /*S*/,
                                             cudaDataType dataTypeU, const void* /*U*/, int64_t ldu,
                                             cudaDataType dataTypeVT, const void* /*VT*/,
                                             int64_t ldvt, cudaDataType computeType,
                                             size_t* onDevice, size_t* onHost) {
  return query("cusolverDnXgesvd_bufferSize", [&] {
    const Svd svd{{handle, params, m, n, dataTypeA, lda},
                  {"U", 0, dataTypeU, m, computed(jobu, m, n), ldu},
                  {"VT", 0, dataTypeVT, computed(jobvt, n, n), n, ldvt}};
    svd.check({dataTypeS, dataTypeU, dataTypeVT, computeType});
    return write_sizes(svd.task, onDevice, onHost);
  });
}

cusolverStatus_t cusolverDnXgesvd(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  signed char jobu, signed char jobvt, int64_t m, int64_t n,
                                  cudaDataType dataTypeA, void* A, int64_t lda,
                                  cudaDataType dataTypeS, void* S, cudaDataType dataTypeU, void* U,
                                  int64_t ldu, cudaDataType dataTypeVT, void* VT, int64_t ldvt,
                                  cudaDataType computeType, void* bufferOnDevice, size_t onDevice,
                                  void* bufferOnHost, size_t onHost, int* info) {
  return solver_call("cusolverDnXgesvd", [&] {
    const Svd svd{{handle, params, m, n, dataTypeA, lda},
                  {"U", address_of(U), dataTypeU, m, computed(jobu, m, n), ldu},
                  {"VT", address_of(VT), dataTypeVT, computed(jobvt, n, n), n, ldvt}};
    svd.check({dataTypeS, dataTypeU, dataTypeVT, computeType});
    check_workspaces(svd.task, {bufferOnDevice, onDevice, bufferOnHost, onHost});
    const Operand a{"A", address_of(A), dataTypeA, m, n, lda};
    const auto s = column("S", S, dataTypeS, n);
    const auto u = svd.u;
    const auto vt = svd.vt;
    for (const auto& operand : {a, s, u, vt}) {
      operand.check_held();
    }
    check_apart(s, {a, u, vt});
    check_apart(u, {a, vt});
    check_apart(vt, {a});
    enqueue_solver(handle, info, address_of(bufferOnDevice), onDevice, true,
                   [=] { return run_gesvd(a, s, u, vt); });
    record(" ", static_cast<char>(jobu), " ", static_cast<char>(jobvt), " ", m, " ", n, " ld ", lda,
           " ", ldu, " ", ldvt);
  });
}
