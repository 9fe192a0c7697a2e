// SPDX-License-Identifier: MIT
// Two GPUs of the tests: what lies on one is refused by contexts of the other.
#include "numerics.hpp"
#include "test_backend.hpp"

#include <fake_cuda.hpp>

#include <optional>
#include <string>
#include <utility>

namespace ac = accrete;
using ac::Index;

namespace {

using Matrix = ac::Matrix<float, ac::Cuda>;

/// A context of the second GPU, while the first stays the current one.
class Second {
 public:
  Second() {
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    context_.emplace();
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
  }
  ac::Context<ac::Cuda>& context() { return *context_; }

 private:
  std::optional<ac::Context<ac::Cuda>> context_;
};

int current_gpu() {
  int ordinal = -1;
  REQUIRE(cudaGetDevice(&ordinal) == cudaSuccess);
  return ordinal;
}

#define CHECK_REFUSED(statement, there, here)                                                      \
  CHECK_THROWS_WITH_AS(statement,                                                                  \
                       doctest::Contains("lies on GPU " there                                      \
                                         ", but the context works on GPU " here                    \
                                         "; make a context of GPU " there),                        \
                       ac::ArgumentError)

} // namespace

TEST_CASE("a context works on the GPU that was current when it was made") {
  const Dense<float> A = random_matrix<float>(6, 4, 1);
  const Dense<float> B = random_matrix<float>(4, 5, 2);
  const Exact expected = exact(A) * exact(B);
  for (unsigned seed = 0; seed < 10; ++seed) {
    CAPTURE(seed);
    fake_cuda::seed(seed);
    Second second;
    CHECK(second.context().device().ordinal() == 1);
    CHECK(ac::Context<ac::Cuda>::current().device().ordinal() == 0);
    Matrix kept;
    {
      const ac::ScopedContext<ac::Cuda> scope(second.context());
      CHECK(current_gpu() == 1);
      const Matrix b = on_backend(B);
      kept = ac::lazy(on_backend(A)) * b;
      const auto [U, S, V] = ac::svd(ac::lazy(kept)); // cuSOLVER or the host, cuBLAS
      CHECK(U.rows() == 6);
      CHECK((exact(kept) - expected).norm() <= rounding_bound<float>(4, 20));
    }
    CHECK(current_gpu() == 0);
    const Matrix here = ac::lazy(on_backend(A)) * on_backend(B);
    CHECK((exact(here) - expected).norm() <= rounding_bound<float>(4, 20));
  }
}

TEST_CASE("operands and results on another GPU are refused before anything is changed") {
  Second second;
  Matrix there;
  {
    const ac::ScopedContext<ac::Cuda> scope(second.context());
    there = on_backend(random_matrix<float>(5, 5, 1));
  }
  const Dense<float> values = random_matrix<float>(5, 5, 2);
  const Matrix here = on_backend(values);
  Matrix result = on_backend(values);
  CHECK_REFUSED(result = ac::lazy(here) * there, "1", "0");
  CHECK_REFUSED(result += ac::lazy(here) * here + ac::lazy(there), "1", "0");
  CHECK_REFUSED(there = ac::lazy(here) * here, "1", "0");
  CHECK_REFUSED(there.view() += ac::lazy(here), "1", "0");
  CHECK_REFUSED(result = ac::in_order(ac::lazy(here) * there), "1", "0");
  CHECK_REFUSED(result = ac::in_order(ac::lazy(here) * (ac::lazy(here) + there)), "1", "0");
  CHECK_REFUSED(static_cast<void>(Matrix(there)), "1", "0");
  CHECK_REFUSED(static_cast<void>(ac::to_host(there)), "1", "0");
  CHECK_REFUSED(static_cast<void>(ac::frobenius_norm(ac::lazy(there))), "1", "0");
  CHECK_REFUSED(static_cast<void>(ac::svd(ac::lazy(there))), "1", "0");
  CHECK_REFUSED(static_cast<void>(ac::thin_qr(ac::lazy(there))), "1", "0");
  auto prepared = ac::prepare(ac::lazy(here) * there, ac::Executions{10});
  CHECK_REFUSED(prepared.evaluate(result), "1", "0");
  ac::AdamW<float, ac::Cuda> adam(5, 5);
  CHECK_REFUSED(adam.step(result.view(), there.view(), 0.1), "1", "0");
  ac::PinnedMatrix<float> pinned(5, 5);
  auto& context = ac::Context<ac::Cuda>::current();
  CHECK_REFUSED(ac::from_host_async(context, pinned, there), "1", "0");
  CHECK_REFUSED(ac::to_host_async(context, there, pinned), "1", "0");
  // Memory of an engine, seen through a view.
  const ac::View<const float, ac::Cuda> foreign =
      ac::dense_view<ac::Cuda>(std::as_const(there).data() + 5, 5, 2);
  Matrix narrow(5, 2);
  CHECK_REFUSED(narrow = ac::lazy(here) * foreign, "1", "0");
  {
    const ac::ScopedContext<ac::Cuda> scope(second.context());
    CHECK_REFUSED(there = ac::lazy(here) * there, "0", "1");
    CHECK_THROWS_WITH_AS(there = ac::lazy(there) * here, doctest::Contains("a 5 x 5 operand"),
                         ac::ArgumentError);
  }
  CHECK(ac::to_host(result) == values);
  context.check();
}

TEST_CASE("a warm evaluation asks CUDA for no address") {
  const Matrix A = on_backend(random_matrix<float>(6, 4, 1));
  const Matrix B = on_backend(random_matrix<float>(4, 5, 2));
  Matrix C(6, 5);
  C = ac::lazy(A) * B;
  fake_cuda::fail_at(-1);
  C = ac::lazy(A) * B;
  CHECK(fake_cuda::calls() == 1); // the product
}

TEST_CASE("what another GPU gets is freed and copied where it is, handles too") {
  const Dense<float> values = random_matrix<float>(3, 2, 1);
  const Dense<float> two = 2 * Dense<float>::Identity(2, 2);
  Matrix kept;
  const fake_cuda::Balance held = fake_cuda::balance();
  {
    Second second;
    Dense<float> on_host;
    {
      const ac::ScopedContext<ac::Cuda> scope(second.context());
      kept = ac::lazy(on_backend(values)) * on_backend(two);
      on_host = ac::to_host(kept); // there
    }
    kept = on_backend(on_host); // here
  }
  CHECK(ac::to_host(kept) == 2 * values);
  kept = Matrix();
  CHECK(fake_cuda::balance() == held);
}
