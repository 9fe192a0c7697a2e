// SPDX-License-Identifier: MIT
#include "fake_gpu_test.hpp"

#include <cublas_v2.h>
#include <cusolverDn.h>

using namespace fake_cuda_test;

namespace {

constexpr auto global = cudaStreamCaptureModeGlobal;

void add(cudaStream_t stream, float* values, float what) {
  ok(fake_cuda::launch(stream, "add", [=] { *fake_cuda::local(values) += what; }));
}
void multiply(cudaStream_t stream, float* values, float factor) {
  ok(fake_cuda::launch(stream, "multiply", [=] { *fake_cuda::local(values) *= factor; }));
}

struct Graph {
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    static_cast<void>(cudaGraphExecDestroy(executable));
    static_cast<void>(cudaGraphDestroy(graph));
  }
  void end(cudaStream_t stream) {
    ok(cudaStreamEndCapture(stream, &graph));
    ok(cudaGraphInstantiate(&executable, graph, 0));
  }

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
};

cudaStreamCaptureStatus status_of(cudaStream_t stream) {
  cudaStreamCaptureStatus status{};
  ok(cudaStreamIsCapturing(stream, &status));
  return status;
}

/// That a call is refused while a stream is captured, and spoils the capture.
template <class Call>
void check_forbidden(cudaError_t expected, Call&& forbidden, cudaStreamCaptureMode mode = global) {
  const Stream stream;
  ok(cudaStreamBeginCapture(stream, mode));
  CHECK_EQ(status_of(stream), cudaStreamCaptureStatusActive);
  CHECK_EQ(forbidden(stream), expected);
  CHECK_EQ(status_of(stream), cudaStreamCaptureStatusInvalidated);
  CHECK_EQ(fake_cuda::launch(stream, "kernel", [] {}), cudaErrorStreamCaptureInvalidated);
  cudaGraph_t graph = nullptr;
  CHECK_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  CHECK_EQ(graph, nullptr);
  CHECK_EQ(status_of(stream), cudaStreamCaptureStatusNone);
  ok(fake_cuda::launch(stream, "kernel", [] {}));
}

} // namespace

TEST_CASE("captured work runs when the graph is launched, each time") {
  fake_cuda::reset();
  {
    const Stream stream;
    Buffer<float> values(stream, std::vector<float>{1});
    Graph graph;
    ok(cudaStreamBeginCapture(stream, global));
    add(stream, values, 2);
    multiply(stream, values, 3);
    graph.end(stream);
    std::size_t nodes = 0;
    ok(cudaGraphGetNodes(graph.graph, nullptr, &nodes));
    CHECK_EQ(nodes, 2);
    CHECK_EQ(fake_cuda::balance().graphs, 2);
    CHECK_EQ(values.download(stream), 1);
    fake_cuda::clear_log();
    ok(cudaGraphLaunch(graph.executable, stream));
    ok(cudaGraphLaunch(graph.executable, stream));
    CHECK_EQ(fake_cuda::log(), std::vector<std::string>{"cudaGraphLaunch 2", "cudaGraphLaunch 2"});
    CHECK_EQ(values.download(stream), 33); // ((1 + 2) 3 + 2) 3
    CHECK_EQ(fake_cuda::counters().graph_launches, 2);
  }
  CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
}

TEST_CASE("events order captured streams, and draw them in") {
  const auto captured = [](unsigned seed, bool ordered) {
    fake_cuda::reset();
    fake_cuda::seed(seed);
    const Stream first;
    const Stream second;
    const Event begun;
    const Event added;
    const Event joined;
    Buffer<float> values(first, std::vector<float>{1});
    Graph graph;
    ok(cudaStreamBeginCapture(first, global));
    ok(cudaEventRecord(begun, first));
    ok(cudaStreamWaitEvent(second, begun, 0));
    CHECK_EQ(status_of(second), cudaStreamCaptureStatusActive);
    add(first, values, 2);
    ok(cudaEventRecord(added, first));
    if (ordered) {
      ok(cudaStreamWaitEvent(second, added, 0));
    }
    multiply(second, values, 10);
    ok(cudaEventRecord(joined, second));
    ok(cudaStreamWaitEvent(first, joined, 0));
    graph.end(first);
    CHECK_EQ(status_of(second), cudaStreamCaptureStatusNone);
    ok(cudaGraphLaunch(graph.executable, first));
    return values.download(first);
  };
  bool wrong = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    CHECK_EQ(captured(seed, true), 30);
    wrong = captured(seed, false) == 12 || wrong;
  }
  CHECK(wrong);
}

TEST_CASE("calls that may not come while a stream is captured") {
  fake_cuda::reset();
  const Stream other;
  const Event event;
  const Event outside;
  ok(cudaEventRecord(outside, other));
  void* memory = nullptr;
  void* held = nullptr;
  ok(cudaMalloc(&held, 16));
  Buffer<float> values(other, 1);
  ok(cudaStreamSynchronize(other));
  float host = 0;
  const auto unsupported = cudaErrorStreamCaptureUnsupported;

  check_forbidden(unsupported, [](cudaStream_t stream) { return cudaStreamSynchronize(stream); });
  check_forbidden(unsupported, [](cudaStream_t stream) { return cudaStreamQuery(stream); });
  check_forbidden(unsupported, [](cudaStream_t) { return cudaDeviceSynchronize(); });
  check_forbidden(unsupported, [&](cudaStream_t) { return cudaMalloc(&memory, 4); });
  check_forbidden(unsupported, [&](cudaStream_t) { return cudaFree(held); });
  check_forbidden(unsupported, [&](cudaStream_t) { return cudaMallocHost(&memory, 4); });
  check_forbidden(unsupported, [&](cudaStream_t) { return cudaEventQuery(event); });
  check_forbidden(unsupported, [&](cudaStream_t) { return cudaStreamSynchronize(other); });
  check_forbidden(unsupported,
                  [&](cudaStream_t stream) { return cudaMallocAsync(&memory, 4, stream); });
  check_forbidden(unsupported, [&](cudaStream_t stream) {
    return cudaMemcpyAsync(values, &host, 4, cudaMemcpyHostToDevice, stream);
  });
  check_forbidden(unsupported, [&](cudaStream_t stream) {
    return cudaMemcpyAsync(&host, values, 4, cudaMemcpyDeviceToHost, stream);
  });
  check_forbidden(cudaErrorStreamCaptureIsolation,
                  [&](cudaStream_t stream) { return cudaStreamWaitEvent(stream, outside, 0); });
  check_forbidden(cudaErrorCapturedEvent, [&](cudaStream_t stream) {
    ok(cudaEventRecord(event, stream));
    return cudaEventSynchronize(event);
  });
  CHECK_EQ(cudaStreamWaitEvent(other, event, 0), cudaErrorCapturedEvent); // of one that is over

  const Stream stream; // relaxed: what concerns the stream alone
  ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  ok(cudaMalloc(&memory, 4));
  ok(cudaStreamSynchronize(other));
  ok(cudaFree(memory));
  Graph graph;
  graph.end(stream);
  ok(cudaFree(held));
}

TEST_CASE("captures end where they began, with all streams joined") {
  fake_cuda::reset();
  const Stream first;
  const Stream second;
  const Event event;
  cudaGraph_t graph = nullptr;
  CHECK_EQ(cudaStreamEndCapture(first, &graph), cudaErrorIllegalState);
  CHECK_EQ(cudaStreamBeginCapture(nullptr, global), cudaErrorStreamCaptureUnsupported);
  const auto draw_in = [&] {
    ok(cudaStreamBeginCapture(first, global));
    CHECK_EQ(cudaStreamBeginCapture(first, global), cudaErrorIllegalState);
    ok(cudaEventRecord(event, first));
    ok(cudaStreamWaitEvent(second, event, 0));
    ok(fake_cuda::launch(second, "kernel", [] {}));
  };
  draw_in();
  CHECK_EQ(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureUnjoined);
  draw_in();
  CHECK_EQ(cudaStreamEndCapture(second, &graph), cudaErrorStreamCaptureUnmatched);
  CHECK_EQ(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureInvalidated);
  ok(cudaStreamBeginCapture(first, global));
  ok(cudaEventRecord(event, first));
  ok(cudaStreamBeginCapture(second, global));
  CHECK_EQ(cudaStreamWaitEvent(second, event, 0), cudaErrorStreamCaptureMerge);
  CHECK_EQ(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureInvalidated);
  CHECK_EQ(cudaStreamEndCapture(second, &graph), cudaErrorStreamCaptureInvalidated);

  cudaStream_t blocking = nullptr;
  ok(cudaStreamCreateWithFlags(&blocking, cudaStreamDefault));
  ok(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
  CHECK_EQ(fake_cuda::launch(nullptr, "kernel", [] {}), cudaErrorStreamCaptureImplicit);
  ok(cudaStreamDestroy(blocking)); // and its capture
  ok(cudaDeviceSynchronize());

  ok(cudaStreamBeginCapture(first, global));
  fake_cuda::fail_at(0);
  CHECK_EQ(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureInvalidated);
  CHECK_EQ(status_of(first), cudaStreamCaptureStatusNone);
  CHECK_EQ(fake_cuda::balance().graphs, 0);
}

TEST_CASE("a graph holds addresses, which must be live when it runs") {
  fake_cuda::reset();
  const Stream stream;
  float* values = nullptr;
  float* pinned = nullptr;
  ok(cudaMallocHost(&pinned, 4));
  ok(cudaMallocAsync(&values, 4, stream));
  Graph graph;
  ok(cudaStreamBeginCapture(stream, global));
  ok(cudaMemsetAsync(values, 0, 4, stream));
  ok(cudaMemcpyAsync(pinned, values, 4, cudaMemcpyDeviceToHost, stream));
  graph.end(stream);
  ok(cudaGraphLaunch(graph.executable, stream));
  ok(cudaFreeAsync(values, stream)); // after the launch: fine
  ok(cudaStreamSynchronize(stream));
  CHECK_EQ(*pinned, 0);
  ok(cudaGraphLaunch(graph.executable, stream));
  CHECK_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  CHECK_CONTAINS(fake_cuda::last_fault(), "cudaGraphLaunch: cudaMemsetAsync: 4 bytes");
  fake_cuda::reset();
}

TEST_CASE("graphs that are no more") {
  fake_cuda::reset();
  const Stream stream;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ok(cudaStreamBeginCapture(stream, global));
  ok(cudaStreamEndCapture(stream, &graph));
  ok(cudaGraphInstantiate(&executable, graph, 0));
  CHECK_EQ(cudaGraphInstantiate(&executable, graph, 1), cudaErrorInvalidValue);
  ok(cudaGraphDestroy(graph));
  ok(cudaGraphLaunch(executable, stream)); // it has its own
  CHECK_EQ(cudaGraphDestroy(graph), cudaErrorInvalidValue);
  CHECK_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaErrorInvalidValue);
  ok(cudaGraphExecDestroy(executable));
  CHECK_EQ(cudaGraphLaunch(executable, stream), cudaErrorInvalidValue);
  ok(cudaStreamSynchronize(stream));
  CHECK_EQ(fake_cuda::balance().graphs, 0);
}

TEST_CASE("a product is captured with a workspace, which the graph needs alive") {
  fake_cuda::reset();
  const Stream stream;
  cublasHandle_t handle = nullptr;
  CHECK_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  CHECK_EQ(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
  Buffer<double> a(stream, std::vector<double>{3});
  Buffer<double> c(stream, 1);
  double* workspace = nullptr;
  ok(cudaMallocAsync(&workspace, 4096, stream));
  ok(cudaStreamSynchronize(stream));
  double scale = 2;
  const double zero = 0;
  const auto gemm = [&] {
    return cublasDgemm_64(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &scale, a, 1, a, 1, &zero, c,
                          1);
  };
  cudaGraph_t none = nullptr;
  CHECK_EQ(cublasSetWorkspace(handle, workspace, 4096), CUBLAS_STATUS_SUCCESS);
  CHECK_EQ(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS); // which takes it away
  ok(cudaStreamBeginCapture(stream, global));
  CHECK_EQ(gemm(), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "without cublasSetWorkspace");
  CHECK_EQ(cudaStreamEndCapture(stream, &none), cudaErrorStreamCaptureInvalidated);

  CHECK_EQ(cublasSetWorkspace(handle, workspace, 4096), CUBLAS_STATUS_SUCCESS);
  Graph graph;
  ok(cudaStreamBeginCapture(stream, global));
  CHECK_EQ(gemm(), CUBLAS_STATUS_SUCCESS);
  graph.end(stream);
  scale = 7; // that of the host went into the graph
  ok(cudaGraphLaunch(graph.executable, stream));
  CHECK_EQ(c.download(stream), 18);
  ok(cudaFreeAsync(workspace, stream));
  ok(cudaGraphLaunch(graph.executable, stream));
  CHECK_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  CHECK_CONTAINS(fake_cuda::last_fault(), "cublasDgemm: 4096 bytes");
  fake_cuda::reset();
}

TEST_CASE("work of the host in cuSOLVER is not captured") {
  fake_cuda::reset();
  const Stream stream;
  cusolverDnHandle_t handle = nullptr;
  cusolverDnParams_t params = nullptr;
  CHECK_EQ(cusolverDnCreate(&handle), CUSOLVER_STATUS_SUCCESS);
  CHECK_EQ(cusolverDnCreateParams(&params), CUSOLVER_STATUS_SUCCESS);
  CHECK_EQ(cusolverDnSetStream(handle, stream), CUSOLVER_STATUS_SUCCESS);
  Buffer<float> a(stream, std::vector<float>{4});
  Buffer<int> info(stream, 1);
  std::size_t device_bytes = 0;
  std::size_t host_bytes = 0;
  const auto uplo = CUBLAS_FILL_MODE_LOWER;
  CHECK_EQ(cusolverDnXpotrf_bufferSize(handle, params, uplo, 1, CUDA_R_32F, a, 1, CUDA_R_32F,
                                       &device_bytes, &host_bytes),
           CUSOLVER_STATUS_SUCCESS);
  Buffer<char> space(stream, device_bytes);
  std::vector<char> host(host_bytes);
  ok(cudaStreamSynchronize(stream));
  const auto potrf = [&] {
    return cusolverDnXpotrf(handle, params, uplo, 1, CUDA_R_32F, a, 1, CUDA_R_32F, space,
                            device_bytes, host.data(), host_bytes, info);
  };
  check_forbidden(cudaErrorUnknown, [&](cudaStream_t captured) {
    CHECK_EQ(cusolverDnSetStream(handle, captured), CUSOLVER_STATUS_SUCCESS);
    CHECK_EQ(potrf(), CUSOLVER_STATUS_EXECUTION_FAILED);
    return cudaErrorUnknown;
  });
  CHECK_EQ(cusolverDnSetStream(handle, stream), CUSOLVER_STATUS_SUCCESS);
  CHECK_EQ(potrf(), CUSOLVER_STATUS_SUCCESS);
  CHECK_EQ(a.download(stream), 2);
  CHECK_EQ(info.download(stream), 0);
}
