// SPDX-License-Identifier: MIT
// What is true of the cuda backend alone, on the GPU of the tests.
#include "numerics.hpp"
#include "test_backend.hpp"

#include <fake_cuda.hpp>

#include <memory>
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

TEST_CASE("storage of more entries than can be counted is refused") {
  const Index large = Index{1} << 40;
  CHECK_THROWS_AS(Matrix(large, large), std::bad_alloc);
}

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
