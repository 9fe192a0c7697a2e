// SPDX-License-Identifier: MIT
// What is true of the cuda backend alone, on the GPU of the tests.
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/plan/calibrate.hpp>

#include <fake_cuda.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

using Matrix = ac::Matrix<float, ac::Cuda>;

struct Layer {
  Dense<float> W0 = random_matrix<float>(30, 20, 1);
  Dense<float> U = random_matrix<float>(30, 4, 2);
  Dense<float> V = random_matrix<float>(20, 4, 3);
  Dense<float> X = random_matrix<float>(20, 8, 4);

  [[nodiscard]] Exact product() const {
    return (exact(W0) + exact(U) * exact(V).transpose()) * exact(X);
  }
  [[nodiscard]] ac::CumulativeUpdate<float, ac::Cuda> weight() const {
    return {on_backend(W0), ac::LowRankMatrix<float, ac::Cuda>(on_backend(U), on_backend(V))};
  }
};

/// Counts what it gives.
class CountingMemory final : public ac::MemoryResource {
 public:
  explicit CountingMemory(cudaStream_t stream) : memory_(stream) {}
  void* allocate(std::size_t bytes) override {
    ++allocations;
    ++in_use;
    return memory_.allocate(bytes);
  }
  void deallocate(void* memory, std::size_t bytes) noexcept override {
    --in_use;
    memory_.deallocate(memory, bytes);
  }
  int allocations = 0;
  int in_use = 0;

 private:
  ac::CudaStreamMemory memory_;
};

} // namespace

TEST_CASE("a warm step neither allocates nor waits for the device") {
  const Layer layer;
  auto W = layer.weight();
  const Matrix X = on_backend(layer.X);
  Matrix Y(30, 8);
  Matrix dU(30, 4);
  ac::WeightPass<float, ac::Cuda> pass;
  ac::AdamW<float, ac::Cuda> adam(30, 4);
  dU = ac::gradients(W * X, Y).U;
  const auto step = [&] {
    Y = pass.forward(W, X);
    const auto g = pass.backward(W, X, Y);
    dU = g.U;
    dU += 0.5F * (ac::lazy(Y) * (ac::lazy(X).transpose() * W.V()));
    adam.step(W.U(), dU, 0.1);
  };
  step();
  const fake_cuda::Counters before = fake_cuda::counters();
  step();
  const fake_cuda::Counters after = fake_cuda::counters();
  CHECK(after.library_calls > before.library_calls);
  CHECK(after.launches > before.launches);
  CHECK(after.device_allocations == before.device_allocations);
  CHECK(after.host_allocations == before.host_allocations);
  CHECK(after.synchronizations == before.synchronizations);
}

TEST_CASE("a context works on the stream and with the memory that it is given") {
  const Layer layer;
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  const auto memory = std::make_shared<CountingMemory>(stream);
  {
    ac::CudaOptions options;
    options.stream = stream;
    options.memory = memory;
    ac::Context<ac::Cuda> context{ac::Device<ac::Cuda>(options)};
    CHECK(context.device().stream() == stream);
    const ac::ScopedContext<ac::Cuda> scope(context);
    const auto W = layer.weight();
    const Matrix Y = W * on_backend(layer.X);
    CHECK(memory->allocations > 4);
    CHECK((exact(Y) - layer.product()).norm() <= rounding_bound<float>(40, 400));
  }
  CHECK(memory->in_use == 0);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

TEST_CASE("storage outlives the context that it was made with") {
  Matrix kept;
  const Dense<float> values = random_matrix<float>(5, 3, 1);
  {
    ac::Context<ac::Cuda> context;
    const ac::ScopedContext<ac::Cuda> scope(context);
    kept = ac::from_host<ac::Cuda>(values);
  }
  CHECK(ac::to_host(kept) == values);
}

TEST_CASE("streams wait for each other where the context changes, in any order of their work") {
  const Layer layer;
  for (unsigned seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    fake_cuda::seed(seed);
    const auto W = layer.weight();
    const Matrix X = on_backend(layer.X);
    Matrix Y(30, 8);
    Y = W * X;
    {
      ac::Context<ac::Cuda> context;
      const ac::ScopedContext<ac::Cuda> scope(context);
      Y += W * X;
    }
    Y += W * X;
    CHECK((exact(Y) - 3 * layer.product()).norm() <= rounding_bound<float>(120, 1200));
  }
}

TEST_CASE("every call that fails ends in an exception, and nothing is lost") {
  const Layer layer;
  // What this thread keeps is there before.
  CHECK((exact(layer.weight() * on_backend(layer.X)) - layer.product()).norm() < 1);
  const fake_cuda::Balance held = fake_cuda::balance();
  long failures = 0;
  for (bool failed = true; failed; ++failures) {
    CAPTURE(failures);
    REQUIRE(failures < 1000);
    failed = false;
    fake_cuda::fail_at(failures);
    try {
      ac::Context<ac::Cuda> context;
      const ac::ScopedContext<ac::Cuda> scope(context);
      auto W = layer.weight();
      W.grow(2, ac::init::orthogonal());
      W.truncate({.max_rank = 4});
      const Dense<float> Y = ac::to_host(W * on_backend(layer.X));
      fake_cuda::fail_at(-1);
      CHECK((exact(Y) - layer.product()).norm() <= rounding_bound<float>(2000, 400));
    } catch (const ac::CudaError& error) {
      failed = true;
      CHECK(std::string(error.what()).find("(") != std::string::npos);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    fake_cuda::fail_at(-1);
    CHECK(fake_cuda::balance() == held);
  }
  CHECK(failures > 30);
}

TEST_CASE("a context goes on after a call that failed") {
  const Layer layer;
  const ac::CumulativeUpdate<float, ac::Cuda> start = layer.weight();
  const Matrix X = on_backend(layer.X);
  for (long n = 0; n < 60; ++n) {
    CAPTURE(n);
    ac::Context<ac::Cuda> context;
    const ac::ScopedContext<ac::Cuda> scope(context);
    const auto work = [&] {
      auto W = start;
      W.truncate({.max_rank = 4});
      return Dense<float>(ac::to_host(W * X));
    };
    fake_cuda::fail_at(n);
    try {
      work();
    } catch (const ac::CudaError&) {
    } catch (const std::bad_alloc&) {
    }
    fake_cuda::fail_at(-1);
    CHECK((exact(work()) - layer.product()).norm() <= rounding_bound<float>(2000, 400));
  }
}

TEST_CASE("a copy lies in the memory of the context that makes it") {
  const Dense<float> values = random_matrix<float>(40, 30, 1);
  const Matrix original = on_backend(values);
  for (unsigned seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    fake_cuda::seed(seed);
    ac::Context<ac::Cuda> context;
    const ac::ScopedContext<ac::Cuda> scope(context);
    const Matrix copy(original);
    CHECK(ac::to_host(copy) == values);
  }
}

namespace {

/// Gives addresses that nobody reads, and fails as a device with an earlier fault does.
class FailingMemory final : public ac::MemoryResource {
 public:
  void* allocate(std::size_t) override {
    if (++allocations == 3) {
      ac::detail::check_cuda(cudaErrorIllegalAddress, "cudaMallocAsync");
    }
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(4096 * allocations));
  }
  void deallocate(void*, std::size_t) noexcept override {}
  int allocations = 0;
};

} // namespace

TEST_CASE("memory that fails to be merged is asked for again, whatever the error") {
  const auto memory = std::make_shared<FailingMemory>();
  ac::Arena<ac::Cuda> arena{ac::Memory<ac::Cuda>(memory)};
  {
    ac::Arena<ac::Cuda>::Frame frame(arena);
    CHECK(frame.allocate<float>(10) != nullptr);
    CHECK(frame.allocate<float>(100) != nullptr); // a second block: both are merged
  }
  CHECK(memory->allocations == 3);
  CHECK(arena.capacity() == 0);
  ac::Arena<ac::Cuda>::Frame frame(arena);
  CHECK(frame.allocate<float>(100) != nullptr);
}

TEST_CASE("storage of more entries than can be counted is refused") {
  const Index large = Index{1} << 40;
  CHECK_THROWS_AS(Matrix(large, large), std::bad_alloc);
}

TEST_CASE("a recorded step is done again by one call, whatever the context does in between") {
  const Layer layer;
  const Matrix X = on_backend(layer.X);
  const Matrix dY = on_backend(random_matrix<float>(30, 8, 5));
  const auto trained = [&](const auto& run) {
    ac::Context<ac::Cuda> context;
    const ac::ScopedContext<ac::Cuda> scope(context);
    auto W = layer.weight();
    ac::WeightPass<float, ac::Cuda> pass;
    Matrix Y(30, 8);
    Matrix dU(30, 4);
    Matrix dV(20, 4);
    Matrix Z = X;
    run(context, [&] {
      Y = pass.forward(W, X);
      Z += ac::lazy(X) * (ac::lazy(Y).transpose() * Y); // through a temporary
      const auto g = pass.backward(W, X, dY);
      dU = g.U;
      dV = g.V;
      W.low_rank().u_view() -= 0.01F * ac::lazy(dU);
      W.low_rank().v_view() -= 0.01F * ac::lazy(dV);
    });
    return std::vector<Dense<float>>{ac::to_host(Y), ac::to_host(W.U()), ac::to_host(W.V()),
                                     ac::to_host(Z)};
  };
  const auto expected = trained([](auto&, const auto& step) {
    for (int i = 0; i < 4; ++i) {
      step();
    }
  });
  const auto replayed = trained([&](auto& context, const auto& step) {
    ac::CudaGraph graph(context.device(), step); // the first
    const fake_cuda::Counters before = fake_cuda::counters();
    graph.launch();
    // Larger temporaries than those of the graph.
    const Matrix A = on_backend(random_matrix<float>(200, 200, 6));
    const Matrix B = ac::lazy(A) * (ac::lazy(A) * (ac::lazy(A) + A));
    const Matrix C = ac::lazy(A) * (ac::lazy(B) * (ac::lazy(A) + B));
    graph.launch();
    graph.launch();
    const fake_cuda::Counters after = fake_cuda::counters();
    CHECK(after.graph_launches == before.graph_launches + 3);
    context.check();
  });
  CHECK(replayed == expected);
}

TEST_CASE("what cannot be recorded is refused, and the context goes on") {
  const Layer layer;
  ac::Context<ac::Cuda> context;
  const ac::ScopedContext<ac::Cuda> scope(context);
  auto W = layer.weight();
  const Matrix X = on_backend(layer.X);
  Matrix Y(30, 8);
  ac::AdamW<float, ac::Cuda> adam(30, 4);
  const Matrix dU = on_backend(random_matrix<float>(30, 4, 7));
  CHECK_THROWS_WITH_AS(ac::CudaGraph(context.device(), [&] { adam.step(W.U(), dU, 0.1); }),
                       doctest::Contains("outside of the graph"), ac::ArgumentError);
  CHECK_THROWS_WITH_AS(ac::CudaGraph(context.device(), [&] { Y = ac::to_host(X).sum() * W * X; }),
                       doctest::Contains("StreamCapture"), ac::CudaError);
  CHECK_THROWS_WITH_AS(ac::CudaGraph(context.device(), [] {}), doctest::Contains("no work"),
                       ac::ArgumentError);
  Y = layer.weight() * X;
  CHECK((exact(Y) - layer.product()).norm() <= rounding_bound<float>(40, 400));
}

TEST_CASE("adapters of different ranks are two grouped products, however many they are") {
  ac::AdapterSet<float, ac::Cuda> set(30, 20);
  Exact expected = Exact::Zero(30, 12);
  const Dense<float> X = random_matrix<float>(20, 12, 4);
  std::vector<Index> adapter_of_column;
  for (Index i = 0; i < 12; ++i) {
    adapter_of_column.push_back(i < 4 ? 0 : 1 + i % 2); // neighbours, and columns in turn
  }
  for (Index i = 0; i < 3; ++i) {
    const auto seed = static_cast<unsigned>(i);
    const Dense<float> U = random_matrix<float>(30, 2 + i, 10 + seed);
    const Dense<float> V = random_matrix<float>(20, 2 + i, 20 + seed);
    set.add(ac::LowRankMatrix<float, ac::Cuda>(on_backend(U), on_backend(V)), 0.5F);
    for (Index j = 0; j < 12; ++j) {
      if (adapter_of_column[static_cast<std::size_t>(j)] == i) {
        expected.col(j) = exact(U) * (exact(V).transpose() * exact(X).col(j)) / 2;
      }
    }
  }
  const Dense<float> W0 = random_matrix<float>(30, 20, 1);
  expected += exact(W0) * exact(X);
  const Matrix base = on_backend(W0);
  const Matrix x = on_backend(X);
  Matrix y(30, 12);
  fake_cuda::clear_log();
  set.apply(base, adapter_of_column, x, y);
  const std::vector<std::string> log = fake_cuda::log();
  const auto calls = [&](const char* name) {
    return std::count_if(log.begin(), log.end(),
                         [&](const std::string& call) { return call.starts_with(name); });
  };
  CHECK(calls("cublasGemmGroupedBatchedEx") == 2);
  CHECK(calls("cublasGemmEx") == 1);
  CHECK((exact(y) - expected).norm() <= rounding_bound<float>(40, 400));
  // A result in rows is a product of transposes.
  Matrix in_rows(12, 30);
  set.apply(base, adapter_of_column, x, ac::view_of(in_rows).transposed());
  CHECK((exact(in_rows).transpose() - expected).norm() <= rounding_bound<float>(40, 400));
}

TEST_CASE("a batch of products is each of them, in any order of its matrices") {
  constexpr Index count = 3;
  const Dense<float> A = random_matrix<float>(6, 4 * count, 1);
  const Dense<float> B = random_matrix<float>(4, 5 * count, 2);
  const Matrix a = on_backend(A);
  const Matrix b = on_backend(B);
  Matrix c = on_backend(Dense<float>::Ones(6, 5 * count));
  Matrix transposed(5, 6 * count);
  using Batch = ac::detail::CudaBatch<float>;
  using Operands = ac::detail::CudaBatch<const float>;
  const Operands left{ac::view_of(a).left_columns(4), 6 * 4};
  const Operands right{ac::view_of(b).left_columns(5), 4 * 5};
  ac::Device<ac::Cuda>& device = ac::Context<ac::Cuda>::current().device();
  const auto multiply = [&](float beta, const Batch& result) {
    ac::detail::CudaProducts::batched_gemm<float>(device, 2.0F, left, right, beta, result, count);
  };
  multiply(1, {ac::view_of(c).left_columns(5), 6 * 5});
  multiply(0, {ac::view_of(transposed).left_columns(6).transposed(), 5 * 6});
  for (Index i = 0; i < count; ++i) {
    const Exact product = 2 * exact(A).middleCols(4 * i, 4) * exact(B).middleCols(5 * i, 5);
    const Exact with_ones = product.array() + 1;
    CHECK((exact(c).middleCols(5 * i, 5) - with_ones).norm() <= rounding_bound<float>(6, 40));
    CHECK((exact(transposed).middleCols(6 * i, 6).transpose() - product).norm() <=
          rounding_bound<float>(6, 40));
  }
  fake_cuda::fail_at(0);
  CHECK_THROWS_WITH_AS(multiply(0, {ac::view_of(c).left_columns(5), 6 * 5}),
                       doctest::Contains("cublasGemmStridedBatchedEx_64(6, 5, 4, 3)"),
                       ac::CudaError);
  fake_cuda::fail_at(-1);
}

TEST_CASE("lists of the host are read as they were given, however many are on their way") {
  constexpr Index count = 4000;
  const Dense<float> values = random_matrix<float>(1, count, 1);
  const Matrix from = on_backend(values);
  ac::Device<ac::Cuda>& device = ac::Context<ac::Cuda>::current().device();
  std::vector<Matrix> results;
  std::vector<Index> columns(count);
  for (Index shift = 0; shift < 20; ++shift) {
    for (Index j = 0; j < count; ++j) {
      columns[static_cast<std::size_t>(j)] = (j + 100 * shift) % count;
    }
    results.emplace_back(1, count);
    ac::Kernels<ac::Cuda>::gather_columns(device, ac::view_of(from), columns,
                                          ac::view_of(results.back()));
  }
  for (Index shift = 0; shift < 20; ++shift) {
    const Dense<float> result = ac::to_host(results[static_cast<std::size_t>(shift)]);
    CHECK(result(0, 0) == values(0, 100 * shift));
    CHECK(result(0, count - 1) == values(0, (count - 1 + 100 * shift) % count));
  }
}

TEST_CASE("check() throws what went wrong in a kernel") {
  ac::Context<ac::Cuda> context;
  context.check();
  const ac::ScopedContext<ac::Cuda> scope(context);
  Matrix A = on_backend(random_matrix<float>(6, 5, 1));
  context.check();
  CHECK(context.device().seconds_of([&] { A = 2.0F * ac::lazy(A); }) >= 0);
  fake_cuda::fail_at(0);
  CHECK_THROWS_WITH_AS(context.check(), doctest::Contains("cudaStreamSynchronize"), ac::CudaError);
  fake_cuda::fail_at(-1);
}

TEST_CASE("a device is planned for by its own rates") {
  const ac::KernelCall large{ac::Kernel::gemm, 8192, 8192, 8192};
  const ac::KernelCall small{ac::Kernel::gemm, 8, 8, 8};
  const auto& of_gpu = ac::Context<ac::Cuda>::current().cost_model();
  const auto& of_cpu = ac::Context<ac::Cpu>::current().cost_model();
  CHECK(of_gpu.seconds(large) < of_cpu.seconds(large) / 100);
  CHECK(of_gpu.seconds(small) > of_cpu.seconds(small));
}

// Compiled here; on the GPU of the tests it takes minutes.
[[maybe_unused]] ac::MeasuredModel (*const calibrate)(ac::Context<ac::Cuda>&) =
    &ac::calibrate<ac::Cuda>;

TEST_CASE("errors name the call, its sizes and the status") {
  Matrix A = on_backend(random_matrix<float>(6, 5, 1));
  Matrix B = on_backend(random_matrix<float>(5, 4, 2));
  Matrix C(6, 4);
  C = ac::lazy(A) * B;
  fake_cuda::fail_at(0);
  CHECK_THROWS_WITH_AS((C = ac::lazy(A) * B),
                       doctest::Contains("cublasGemmEx_64(6, 4, 5): CUBLAS_STATUS_"),
                       ac::CudaError);
  fake_cuda::fail_at(0);
  CHECK_THROWS_WITH_AS(Matrix(1000, 10), doctest::Contains("40000 bytes"), std::bad_alloc);
  fake_cuda::fail_at(-1);
}
