// SPDX-License-Identifier: MIT
// Products with a bias by cuBLASLt, on the GPU of the tests.
#include "placed.hpp"

#include <fake_cuda.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

using Matrix = ac::Matrix<float, ac::Cuda>;
using Kernels = ac::Kernels<ac::Cuda>;

long calls(const std::string& name) {
  const std::vector<std::string> log = fake_cuda::log();
  return std::count_if(log.begin(), log.end(),
                       [&](const std::string& call) { return call.starts_with(name + " "); });
}

/// Y = W X + b and the gradients by dY, of one layer; sums of some 20 products.
template <class S>
struct Layer {
  Dense<S> W = random_matrix<S>(9, 7, 1);
  Dense<S> X = random_matrix<S>(7, 11, 2);
  Dense<S> b = random_matrix<S>(9, 1, 3);
  Dense<S> dY = random_matrix<S>(9, 11, 4);
  Dense<S> dW = random_matrix<S>(9, 7, 5);
  Dense<S> db = random_matrix<S>(9, 1, 6);

  [[nodiscard]] Exact y(double alpha) const {
    return (alpha * exact(W) * exact(X)).colwise() + exact(b).col(0);
  }
  [[nodiscard]] Exact weight_gradient() const {
    return exact(dW) + exact(dY) * exact(X).transpose();
  }
  [[nodiscard]] Exact bias_gradient() const { return exact(db) + exact(dY).rowwise().sum(); }
};

template <class S>
void check_near(const Dense<S>& value, const Exact& expected) {
  CHECK((exact(value) - expected).norm() <= rounding_bound<S>(20, 200));
}

/// What must not depend on how cuBLASLt answers.
template <class S>
void check_layer(Layout w, Layout x, Layout y) {
  const Layer<S> layer;
  const Placed<S> W(layer.W, w);
  const Placed<S> X(layer.X, x);
  const Placed<S> b(layer.b, Layout::columns);
  const Placed<S> dY(layer.dY, y);
  Placed<S> Y(Dense<S>::Constant(9, 11, S{3}), y);
  Placed<S> dW(layer.dW, w);
  Placed<S> db(layer.db, Layout::columns);
  Kernels::gemm_bias<S>(test_device(), S{2}, W.view(), X.view(), b.view(), Y.view());
  Kernels::gemm_bias_gradient<S>(test_device(), dY.view(), X.view().transposed(), dW.view(),
                                 db.view());
  check_near<S>(Y.value(), layer.y(2));
  check_near<S>(dW.value(), layer.weight_gradient());
  check_near<S>(db.value(), layer.bias_gradient());
  CHECK(Y.is(Y.value())); // nothing around them was written
  CHECK(dW.is(dW.value()));
}

/// Runs `test` in a context of its own, with cuBLASLt as told.
template <class Test>
void with_support(fake_cuda::LtSupport support, const Test& test) {
  fake_cuda::support(support);
  {
    ac::Context<ac::Cuda> context;
    const ac::ScopedContext<ac::Cuda> scope(context);
    test(context);
  }
  fake_cuda::support(fake_cuda::LtSupport::all);
}

} // namespace

TEST_CASE_TEMPLATE("gemm with a bias, and its gradient, in any order and stride", S, float,
                   double) {
  for (const auto support : {fake_cuda::LtSupport::all, fake_cuda::LtSupport::none_found}) {
    with_support(support, [](auto&) {
      for (const Layout w : layouts) {
        for (const Layout x : layouts) {
          for (const Layout y : layouts) {
            CAPTURE(static_cast<int>(w));
            CAPTURE(static_cast<int>(x));
            CAPTURE(static_cast<int>(y));
            check_layer<S>(w, x, y);
          }
        }
      }
    });
  }
}

TEST_CASE("a product with a bias is one call, with the epilogue that fits") {
  with_support(fake_cuda::LtSupport::all, [](auto&) {
    fake_cuda::clear_log();
    check_layer<float>(Layout::columns, Layout::columns, Layout::columns);
    CHECK(calls("cublasLtMatmul") == 2);
    CHECK(calls("cublasGemmEx") == 0);
    const auto has = [](const std::string& line) {
      const std::vector<std::string> log = fake_cuda::log();
      return std::find(log.begin(), log.end(), line) != log.end();
    };
    CHECK(has("cublasLtMatmul N N 9 11 7 ld 9 7 9 epilogue 4 compute 68"));
    CHECK(has("cublasLtMatmul N T 9 7 11 ld 9 7 9 epilogue 256 compute 68"));
    check_layer<float>(Layout::rows, Layout::columns, Layout::columns);
    CHECK(has("cublasLtMatmul T N 9 11 7 ld 7 7 9 epilogue 4 compute 68"));
    CHECK(has("cublasLtMatmul N T 7 9 11 ld 7 9 7 epilogue 512 compute 68"));
    // A result in rows has its bias across the columns of memory.
    check_layer<float>(Layout::columns, Layout::columns, Layout::rows);
    CHECK(calls("cublasGemmEx") == 1);
  });
}

TEST_CASE("products with a bias take the precision of the context") {
  for (const auto& [math, compute] :
       {std::pair(ac::CudaMath::tf32, "77"), std::pair(ac::CudaMath::bf16, "75")}) {
    ac::CudaOptions options;
    options.math = math;
    ac::Context<ac::Cuda> context{ac::Device<ac::Cuda>(options)};
    const ac::ScopedContext<ac::Cuda> scope(context);
    fake_cuda::clear_log();
    check_layer<float>(Layout::columns, Layout::columns, Layout::columns);
    for (const std::string& call : fake_cuda::log()) {
      CHECK((!call.starts_with("cublasLtMatmul ") ||
             call.ends_with(std::string(" compute ") + compute)));
    }
    check_layer<double>(Layout::columns, Layout::columns, Layout::columns);
    CHECK(fake_cuda::log().size() > 0);
  }
}

TEST_CASE("what cuBLASLt has no algorithm for is computed apart, and not asked for again") {
  using fake_cuda::LtSupport;
  for (const auto support : {LtSupport::none_found, LtSupport::unusable, LtSupport::not_supported,
                             LtSupport::not_at_call}) {
    CAPTURE(static_cast<int>(support));
    with_support(support, [&](auto&) {
      fake_cuda::clear_log();
      check_layer<float>(Layout::columns, Layout::columns, Layout::columns);
      check_layer<float>(Layout::columns, Layout::columns, Layout::columns);
      CHECK(calls("cublasLtMatmulAlgoGetHeuristic") == 2);
      CHECK(calls("cublasLtMatmul") == 0);
      CHECK(calls("cublasGemmEx") == 4);
    });
  }
}

TEST_CASE("a warm product with a bias asks, allocates and waits for nothing") {
  with_support(fake_cuda::LtSupport::all, [](auto& context) {
    const Layer<float> layer;
    const Matrix W = on_backend(layer.W);
    const Matrix X = on_backend(layer.X);
    const Matrix b = on_backend(layer.b);
    Matrix Y(9, 11);
    Matrix dW = on_backend(layer.dW);
    Matrix db = on_backend(layer.db);
    const auto step = [&] {
      Kernels::gemm_bias<float>(context.device(), 1.F, W, X, b, Y);
      Kernels::gemm_bias_gradient<float>(context.device(), Y, ac::view_of(X).transposed(), dW, db);
    };
    step();
    const fake_cuda::Counters before = fake_cuda::counters();
    const fake_cuda::Balance held = fake_cuda::balance();
    fake_cuda::clear_log();
    step();
    const fake_cuda::Counters after = fake_cuda::counters();
    CHECK(calls("cublasLtMatmul") == 2);
    CHECK(calls("cublasLtMatmulAlgoGetHeuristic") == 0);
    CHECK(after.library_calls == before.library_calls + 2);
    CHECK(after.device_allocations == before.device_allocations);
    CHECK(after.host_allocations == before.host_allocations);
    CHECK(after.synchronizations == before.synchronizations);
    CHECK(fake_cuda::balance() == held);
    // A block of other alignment is another plan.
    Kernels::gemm_bias<float>(context.device(), 1.F, W, ac::view_of(X).columns(1, 10), b,
                              ac::view_of(Y).columns(1, 10));
    CHECK(calls("cublasLtMatmulAlgoGetHeuristic") == 1);
    context.check();
  });
}

TEST_CASE("products with a bias in a CUDA graph") {
  with_support(fake_cuda::LtSupport::all, [](auto& context) {
    const Layer<float> layer;
    const Matrix W = on_backend(layer.W);
    const Matrix X = on_backend(layer.X);
    const Matrix b = on_backend(layer.b);
    const Matrix dY = on_backend(layer.dY);
    Matrix Y(9, 11);
    Matrix dW = on_backend(Dense<float>::Zero(9, 7));
    Matrix db = on_backend(Dense<float>::Zero(9, 1));
    ac::CudaGraph graph(context.device(), [&] {
      Kernels::gemm_bias<float>(context.device(), 2.F, W, X, b, Y);
      Kernels::gemm_bias_gradient<float>(context.device(), dY, ac::view_of(X).transposed(), dW, db);
    });
    graph.launch();
    check_layer<float>(Layout::rows, Layout::block, Layout::columns); // with other descriptors
    graph.launch();
    check_near<float>(ac::to_host(Y), layer.y(2));
    check_near<float>(ac::to_host(dW), 3 * exact(layer.dY) * exact(layer.X).transpose());
    check_near<float>(ac::to_host(db), 3 * exact(layer.dY).rowwise().sum());
  });
}

TEST_CASE("every call of a product with a bias that fails is an exception, and nothing is lost") {
  const Layer<float> layer;
  const Matrix W = on_backend(layer.W);
  const Matrix X = on_backend(layer.X);
  const Matrix b = on_backend(layer.b);
  Matrix Y(9, 11);
  Matrix dW(9, 7);
  Matrix db(9, 1);
  const fake_cuda::Balance held = fake_cuda::balance();
  long failures = 0;
  bool reached = true;
  for (long n = 0; reached; ++n) {
    CAPTURE(n);
    REQUIRE(n < 200);
    fake_cuda::fail_at(n);
    try {
      ac::Context<ac::Cuda> context;
      const ac::ScopedContext<ac::Cuda> scope(context);
      Kernels::gemm_bias<float>(context.device(), 1.F, W, X, b, Y);
      Kernels::gemm_bias_gradient<float>(context.device(), Y, ac::view_of(X).transposed(), dW, db);
      reached = fake_cuda::calls() > n;
    } catch (const ac::CudaError& error) {
      ++failures;
      CHECK(std::string(error.what()).find("(") != std::string::npos);
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    fake_cuda::fail_at(-1);
    CHECK(fake_cuda::balance() == held);
  }
  CHECK(failures > 30);
}

TEST_CASE("errors of products with a bias name the call, its sizes and the status") {
  const Layer<float> layer;
  const Matrix W = on_backend(layer.W);
  const Matrix X = on_backend(layer.X);
  const Matrix b = on_backend(layer.b);
  Matrix Y(9, 11);
  const auto product = [&](const Matrix& x, ac::View<const float, ac::Cuda> bias) {
    Kernels::gemm_bias<float>(test_device(), 1.F, W, x, bias, Y);
  };
  product(X, b);
  fake_cuda::fail_at(1); // the first sets the bias
  CHECK_THROWS_WITH_AS(product(X, b), doctest::Contains("cublasLtMatmul(9, 11, 7): CUBLAS_STATUS_"),
                       ac::CudaError);
  fake_cuda::fail_at(-1);
  CHECK_THROWS_WITH_AS(product(X, X), doctest::Contains("gemm_bias: a bias of 7 x 11"),
                       ac::ShapeError);
  CHECK_THROWS_WITH_AS(product(W, b), doctest::Contains("9 x 7 times 9 x 7 is not 9 x 11"),
                       ac::ShapeError);
  // A row of a matrix as a column: its entries are apart.
  const Matrix wide = on_backend(random_matrix<float>(2, 9, 7));
  CHECK_THROWS_AS(product(X, ac::view_of(wide).block(0, 0, 1, 9).transposed()), ac::ShapeError);
}

TEST_CASE("products with a bias of no rows, columns or inner indices, and of one row") {
  const auto check = [](Index m, Index k, Index n) {
    CAPTURE(m);
    CAPTURE(k);
    CAPTURE(n);
    const Dense<float> w = random_matrix<float>(m, k, 1);
    const Dense<float> x = random_matrix<float>(k, n, 2);
    const Dense<float> bias = random_matrix<float>(m, 1, 3);
    const Dense<float> dy = random_matrix<float>(m, n, 4);
    const Matrix W = on_backend(w);
    const Matrix X = on_backend(x);
    const Matrix b = on_backend(bias);
    const Matrix dY = on_backend(dy);
    Matrix Y(m, n);
    Matrix dW = on_backend(Dense<float>::Zero(m, k));
    Matrix db = on_backend(Dense<float>::Zero(m, 1));
    Kernels::gemm_bias<float>(test_device(), 1.F, W, X, b, Y);
    Kernels::gemm_bias_gradient<float>(test_device(), dY, ac::view_of(X).transposed(), dW, db);
    check_near<float>(ac::to_host(Y), (exact(w) * exact(x)).colwise() + exact(bias).col(0));
    check_near<float>(ac::to_host(dW), exact(dy) * exact(x).transpose());
    check_near<float>(ac::to_host(db), exact(dy) * Exact::Ones(n, 1));
  };
  check(0, 3, 4);
  check(3, 0, 4);
  check(3, 4, 0);
  check(1, 3, 4);
  check(3, 1, 1);
  check(5, 4, 200); // several pieces of columns
}

TEST_CASE("the GPU of the tests refuses a wrong bias and a wrong leading dimension") {
  const Layer<float> layer;
  const Matrix W = on_backend(layer.W);
  const Matrix X = on_backend(layer.X);
  const Matrix b = on_backend(layer.b);
  Matrix Y(9, 11);
  ac::Device<ac::Cuda>& device = test_device();
  const auto workspace = device.cublas_workspace();
  const auto run = [&](const float* bias, Index leading_dimension) {
    const ac::detail::CudaMatmul product{CUBLASLT_EPILOGUE_BIAS,
                                         CUDA_R_32F,
                                         CUBLAS_COMPUTE_32F,
                                         false,
                                         CUBLAS_OP_N,
                                         CUBLAS_OP_N,
                                         9,
                                         11,
                                         7,
                                         leading_dimension,
                                         7,
                                         9,
                                         {4, 4, 4, 4}};
    ac::detail::CudaMatmulPlan plan(device.cublas_lt(), product, bias, workspace.size());
    return plan.run(device.cublas_lt(), 1.F, W.data(), X.data(), 0.F, Y.data(), bias,
                    workspace.data(), workspace.size(), device.stream());
  };
  const auto refused = [&](const float* bias, Index leading_dimension, const char* why) {
    CHECK_THROWS_AS(static_cast<void>(run(bias, leading_dimension)), ac::CudaError);
    const std::string fault = fake_cuda::last_fault();
    CAPTURE(fault);
    CHECK(fault.find(why) != std::string::npos);
  };
  CHECK(run(b.data(), 9));
  refused(b.data() + 1, 9, "go 4 bytes beyond their allocation of 36");
  refused(layer.b.data(), 9, "not memory of the device but pageable memory of the host");
  refused(nullptr, 9, "the epilogue needs a bias pointer");
  refused(Y.data(), 9, "C overlaps the bias");
  refused(b.data(), 10, "go 24 bytes beyond their allocation of 252");
  refused(b.data(), 8, "the leading dimension 8 of A is less than its 9 rows");
  check_near<float>(ac::to_host(Y), layer.y(1));
}
