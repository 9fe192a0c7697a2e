// SPDX-License-Identifier: MIT
#include "fake_gpu_test.hpp"

#include <cublasLt.h>

#include <cstdint>

using namespace fake_cuda_test;

namespace {

void ok(cublasStatus_t status) {
  INFO(fake_cuda::last_fault());
  CHECK_EQ(status, CUBLAS_STATUS_SUCCESS);
}
using fake_cuda_test::ok;

/// D of 2 x 2 = A B + beta C with k = 3, by an algorithm of the heuristic.
struct Product {
  Product() {
    ok(cublasLtCreate(&handle));
    ok(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    ok(cublasLtMatrixLayoutCreate(&a_layout, CUDA_R_32F, 2, 3, 2));
    ok(cublasLtMatrixLayoutCreate(&b_layout, CUDA_R_32F, 3, 2, 3));
    ok(cublasLtMatrixLayoutCreate(&d_layout, CUDA_R_32F, 2, 2, 2));
    ok(cublasLtMatmulPreferenceCreate(&preference));
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;
  ~Product() {
    ok(cublasLtMatmulPreferenceDestroy(preference));
    for (const auto layout : {a_layout, b_layout, d_layout}) {
      ok(cublasLtMatrixLayoutDestroy(layout));
    }
    ok(cublasLtMatmulDescDestroy(operation));
    ok(cublasLtDestroy(handle));
  }

  template <class Value>
  cublasStatus_t set(cublasLtMatmulDescAttributes_t attribute, const Value& value) const {
    return cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value);
  }
  void set(cublasLtEpilogue_t epilogue, const void* vector) const {
    ok(set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue));
    ok(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector));
  }
  template <class Value>
  void prefer(cublasLtMatmulPreferenceAttributes_t attribute, Value value) const {
    ok(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
  }
  cublasStatus_t choose() {
    found = 0;
    return cublasLtMatmulAlgoGetHeuristic(handle, operation, a_layout, b_layout, d_layout, d_layout,
                                          preference, 1, &result, &found);
  }
  cublasStatus_t run(float beta = 0, void* workspace = nullptr, std::size_t bytes = 0) const {
    return cublasLtMatmul(handle, operation, &one, a, a_layout, b, b_layout, &beta, d, d_layout, d,
                          d_layout, found > 0 ? &result.algo : nullptr, workspace, bytes, stream);
  }

  Stream stream;
  Buffer<float> a{stream, {1, 2, 3, 4, 5, 6}}; // columns (1 2) (3 4) (5 6)
  Buffer<float> b{stream, {1, 0, 1, 0, 2, 0}}; // columns (1 0 1) (0 2 0)
  Buffer<float> d{stream, 4};
  Buffer<float> bias{stream, {10, 20}};
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a_layout = nullptr;
  cublasLtMatrixLayout_t b_layout = nullptr;
  cublasLtMatrixLayout_t d_layout = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  float one = 1;
};

} // namespace

TEST_CASE("cublasLt: a bias on every column, and sums of A's rows and of B's columns") {
  fake_cuda::reset();
  Product p;
  p.set(CUBLASLT_EPILOGUE_BIAS, p.bias);
  ok(p.choose());
  fake_cuda::clear_log();
  ok(p.run());
  CHECK_EQ(fake_cuda::log(),
           std::vector<std::string>{"cublasLtMatmul N N 2 2 3 ld 2 3 2 epilogue 4 compute 68"});
  CHECK_EQ(p.d.values(), std::vector<float>{16, 28, 16, 28});
  p.set(CUBLASLT_EPILOGUE_BGRADA, p.bias);
  ok(p.choose());
  ok(p.run(1));
  CHECK_EQ(p.d.values(), std::vector<float>{22, 36, 22, 36});
  CHECK_EQ(p.bias.values(), std::vector<float>{9, 12}); // written, not added to
  p.set(CUBLASLT_EPILOGUE_BGRADB, p.bias);
  ok(p.choose());
  ok(p.run());
  CHECK_EQ(p.bias.values(), std::vector<float>{2, 2});
  CHECK_EQ(fake_cuda::counters().library_calls, 3);
}

TEST_CASE("cublasLt: the bias is memory of the device with an entry for each row") {
  fake_cuda::reset();
  Product p;
  float host[2] = {1, 2};
  p.set(CUBLASLT_EPILOGUE_BIAS, host);
  CHECK_EQ(p.run(), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the bias: 8 bytes");
  CHECK_CONTAINS(fake_cuda::last_fault(), "pageable memory of the host");
  p.set(CUBLASLT_EPILOGUE_BIAS, p.bias + 1); // one entry is left
  CHECK_EQ(p.run(), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "beyond their allocation");
  p.set(CUBLASLT_EPILOGUE_BIAS, nullptr);
  CHECK_EQ(p.run(), CUBLAS_STATUS_INVALID_VALUE);
  p.set(CUBLASLT_EPILOGUE_BIAS, p.d);
  CHECK_EQ(p.run(), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "C overlaps the bias");
  p.set(CUBLASLT_EPILOGUE_BGRADA, p.a);
  CHECK_EQ(p.run(), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the bias overlaps A");
  CHECK_EQ(fake_cuda::counters().library_calls, 0);
}

TEST_CASE("cublasLt: layouts fit each other and their memory") {
  fake_cuda::reset();
  Product p;
  const auto with_a = [&](std::uint64_t rows, std::uint64_t cols, std::int64_t ld,
                          cudaDataType type = CUDA_R_32F) {
    ok(cublasLtMatrixLayoutDestroy(p.a_layout));
    ok(cublasLtMatrixLayoutCreate(&p.a_layout, type, rows, cols, ld));
    return p.run();
  };
  CHECK_EQ(with_a(2, 3, 1), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the leading dimension 1 of A is less than its 2 rows");
  CHECK_EQ(with_a(2, 3, 3), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "A: ");
  CHECK_EQ(with_a(3, 3, 3), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_CONTAINS(fake_cuda::last_fault(), "op(A) is 3 x 3, but the product needs 2 x 3");
  CHECK_EQ(with_a(2, 0, 2), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(with_a(2, std::uint64_t{1} << 31, 2), CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK_EQ(with_a(2, 3, 2, CUDA_R_16BF), CUBLAS_STATUS_NOT_SUPPORTED);
  ok(with_a(2, 3, 2));
  ok(p.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T));
  ok(with_a(3, 2, 3));
  CHECK_EQ(p.d.values(), std::vector<float>{4, 10, 4, 10});
}

TEST_CASE("cublasLt: attributes have a size and a meaning") {
  fake_cuda::reset();
  const Product p;
  CHECK_EQ(p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint64_t{4}), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{3}), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(p.set(CUBLASLT_MATMUL_DESC_TRANSA, std::int32_t{7}), CUBLAS_STATUS_INVALID_VALUE);
  ok(p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_GELU_BIAS));
  CHECK_EQ(p.run(), CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_CASE("cublasLt: an algorithm is of one product, alignment and size of workspace") {
  fake_cuda::reset();
  Product p;
  p.prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{1} << 20);
  ok(p.choose());
  CHECK_GT(p.result.workspaceSize, 0);
  Buffer<char> workspace(p.stream, std::size_t{1} << 20);
  CHECK_EQ(p.run(0, workspace, p.result.workspaceSize - 1), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(p.run(0, workspace + 8, p.result.workspaceSize), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_EQ(p.run(0, workspace, std::size_t{1} << 21), CUBLAS_STATUS_EXECUTION_FAILED);
  ok(p.run(0, workspace, p.result.workspaceSize));
  CHECK_EQ(p.d.values(), std::vector<float>{6, 8, 6, 8});
  p.set(CUBLASLT_EPILOGUE_BIAS, p.bias); // another product
  CHECK_EQ(p.run(0, workspace, std::size_t{1} << 20), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_CONTAINS(fake_cuda::last_fault(), "that of another product");
  ok(p.choose());
  Buffer<float> longer(p.stream, std::vector<float>{1, 2, 3});
  p.set(CUBLASLT_EPILOGUE_BIAS, longer + 1);
  CHECK_EQ(p.run(0, workspace, std::size_t{1} << 20), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the bias is not aligned to the 256 bytes");
  ok(p.choose()); // for this alignment
  ok(p.run(0, workspace, std::size_t{1} << 20));
  CHECK_EQ(p.d.values(), std::vector<float>{8, 11, 8, 11});
}

TEST_CASE("cublasLt: it says in four ways that it has no algorithm") {
  fake_cuda::reset();
  Product p;
  fake_cuda::support(fake_cuda::LtSupport::none_found);
  ok(p.choose());
  CHECK_EQ(p.found, 0);
  fake_cuda::support(fake_cuda::LtSupport::unusable);
  ok(p.choose());
  CHECK_EQ(p.found, 1);
  CHECK_EQ(p.result.state, CUBLAS_STATUS_NOT_SUPPORTED);
  fake_cuda::support(fake_cuda::LtSupport::not_supported);
  CHECK_EQ(p.choose(), CUBLAS_STATUS_NOT_SUPPORTED);
  fake_cuda::support(fake_cuda::LtSupport::not_at_call);
  ok(p.choose());
  CHECK_EQ(p.run(), CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK_EQ(fake_cuda::counters().library_calls, 0);
}

TEST_CASE("cublasLt: handles and descriptors are balanced, and dead once destroyed") {
  fake_cuda::reset();
  {
    const Product p;
    CHECK_EQ(fake_cuda::balance().library_handles, 1);
    CHECK_EQ(fake_cuda::balance().descriptors, 5);
    cublasLtMatmulDesc_t operation = nullptr;
    fake_cuda::fail_at(0);
    CHECK_EQ(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             CUBLAS_STATUS_ALLOC_FAILED);
    CHECK_EQ(cublasLtMatmulDescDestroy(operation), CUBLAS_STATUS_INVALID_VALUE);
    cublasLtMatrixLayout_t layout = nullptr;
    ok(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 2, 2, 2));
    ok(cublasLtMatrixLayoutDestroy(layout));
    const float zero = 0;
    CHECK_EQ(cublasLtMatmul(p.handle, p.operation, &p.one, p.a, p.a_layout, p.b, p.b_layout, &zero,
                            p.d, layout, p.d, layout, nullptr, nullptr, 0, p.stream),
             CUBLAS_STATUS_INVALID_VALUE);
    CHECK_CONTAINS(fake_cuda::last_fault(), "or one that was destroyed");
    CHECK_EQ(cublasLtMatmul(nullptr, p.operation, &p.one, p.a, p.a_layout, p.b, p.b_layout, &zero,
                            p.d, p.d_layout, p.d, p.d_layout, nullptr, nullptr, 0, p.stream),
             CUBLAS_STATUS_NOT_INITIALIZED);
    ok(cudaSetDevice(1));
    CHECK_EQ(p.run(), CUBLAS_STATUS_EXECUTION_FAILED);
    ok(cudaSetDevice(0));
  }
  CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
}

TEST_CASE("cublasLt: work is late, and is captured") {
  fake_cuda::reset();
  Product p;
  ok(cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeGlobal));
  ok(p.choose());
  ok(p.run());
  cudaGraph_t graph = nullptr;
  ok(cudaStreamEndCapture(p.stream, &graph));
  std::size_t nodes = 0;
  ok(cudaGraphGetNodes(graph, nullptr, &nodes));
  CHECK_EQ(nodes, 1);
  cudaGraphExec_t executable = nullptr;
  ok(cudaGraphInstantiate(&executable, graph, 0));
  ok(cudaGraphLaunch(executable, p.stream));
  CHECK_EQ(p.d.values(), std::vector<float>{6, 8, 6, 8});
  ok(cudaGraphExecDestroy(executable));
  ok(cudaGraphDestroy(graph));
}
