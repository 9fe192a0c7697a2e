// SPDX-License-Identifier: MIT
// Products with W0 + U Vᵀ or a bias, and truncation, on this machine's GPU, beside calls of cuBLAS
// by hand. Prints tables in Markdown:
//
//     build/cuda/benchmarks/cuda/gpu
//
// `--quick` takes small matrices: on the GPU of the tests it says that all of it runs, and no time.
#include <accrete/cuda.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

using Matrix = ac::Matrix<float, ac::Cuda>;

struct Shape {
  Index m, n, r, p;
};

/// Y = W0 X + U (Vᵀ X) by three calls of cuBLAS on the same stream, with its own temporary.
class ByHand {
 public:
  ByHand(ac::Device<ac::Cuda>& device, const Shape& s) : device_(device), Z_(s.r, s.p) {}

  void operator()(const Matrix& W0, const Matrix& U, const Matrix& V, const Matrix& X, Matrix& Y) {
    gemm(CUBLAS_OP_N, W0, X, 0, Y);
    gemm(CUBLAS_OP_T, V, X, 0, Z_);
    gemm(CUBLAS_OP_N, U, Z_, 1, Y);
  }

 private:
  void gemm(cublasOperation_t operation, const Matrix& a, const Matrix& b, float beta, Matrix& c) {
    const float one = 1;
    const cublasComputeType_t compute =
        device_.math() == ac::CudaMath::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    ac::detail::check_cuda(cublasGemmEx_64(device_.cublas(), operation, CUBLAS_OP_N, c.rows(),
                                           c.cols(), b.rows(), &one, a.data(), CUDA_R_32F, a.rows(),
                                           b.data(), CUDA_R_32F, b.rows(), &beta, c.data(),
                                           CUDA_R_32F, c.rows(), compute, CUBLAS_GEMM_DEFAULT),
                           "cublasGemmEx_64");
  }

  ac::Device<ac::Cuda>& device_;
  Matrix Z_;
};

Matrix random(Index rows, Index cols, std::uint64_t seed) {
  Matrix result(rows, cols);
  ac::Kernels<ac::Cuda>::fill_uniform(ac::Context<ac::Cuda>::current().device(), seed, -1.0, 1.0,
                                      ac::view_of(result));
  return result;
}

/// Microseconds of each call in turn: medians of `rounds` rounds of as many calls.
template <std::size_t count>
std::array<double, count> medians(ac::Device<ac::Cuda>& device, int rounds, int calls,
                                  const std::array<std::function<void()>, count>& contestants) {
  std::array<std::vector<double>, count> times;
  for (int round = -1; round < rounds; ++round) { // the first warms up
    for (std::size_t i = 0; i < count; ++i) {
      const double seconds = device.seconds_of([&] {
        for (int call = 0; call < calls; ++call) {
          contestants[i]();
        }
      });
      if (round >= 0) {
        times[i].push_back(1e6 * seconds / calls);
      }
    }
  }
  std::array<double, count> result{};
  for (std::size_t i = 0; i < count; ++i) {
    std::nth_element(times[i].begin(), times[i].begin() + rounds / 2, times[i].end());
    result[i] = times[i][static_cast<std::size_t>(rounds) / 2];
  }
  return result;
}

void measure_products(const char* title, const ac::CudaOptions& options,
                      const std::vector<Shape>& shapes, int rounds) {
  ac::Context<ac::Cuda> context{ac::Device<ac::Cuda>(options)};
  const ac::ScopedContext<ac::Cuda> scope(context);
  std::printf("\n## Y = (W0 + U V') X, %s\n\n| m | n | r | p | by hand, us | accrete, us | as a "
              "graph, us | by hand / accrete | by hand / graph | TFLOP/s |\n"
              "|---|---|---|---|---|---|---|---|---|---|\n",
              title);
  for (const Shape& s : shapes) {
    const Matrix W0 = random(s.m, s.n, 1);
    const Matrix U = random(s.m, s.r, 2);
    const Matrix V = random(s.n, s.r, 3);
    const Matrix X = random(s.n, s.p, 4);
    Matrix Y(s.m, s.p);
    ByHand by_hand(context.device(), s);
    const auto product = [&] { Y = (ac::lazy(W0) + ac::outer<ac::Cuda>(U, V)) * X; };
    ac::CudaGraph graph(context.device(), product);
    const auto times =
        medians<3>(context.device(), rounds, s.p > 64 ? 5 : 200,
                   {[&] { by_hand(W0, U, V, X, Y); }, product, [&] { graph.launch(); }});
    const double flops =
        2.0 * static_cast<double>(s.p) * static_cast<double>(s.m * s.n + (s.m + s.n) * s.r);
    std::printf("| %td | %td | %td | %td | %.1f | %.1f | %.1f | %.2f | %.2f | %.1f |\n", s.m, s.n,
                s.r, s.p, times[0], times[1], times[2], times[0] / times[1], times[0] / times[2],
                flops / times[1] / 1e6);
  }
}

/// A layer with a bias, its products and the bias in one call each or one after the other.
void measure_bias(const char* title, const ac::CudaOptions& options,
                  const std::vector<std::pair<Index, Index>>& layers,
                  const std::vector<Index>& batches, int rounds) {
  using Kernels = ac::Kernels<ac::Cuda>;
  ac::Context<ac::Cuda> context{ac::Device<ac::Cuda>(options)};
  const ac::ScopedContext<ac::Cuda> scope(context);
  ac::Device<ac::Cuda>& device = context.device();
  std::printf(
      "\n## Y = W X + b and dW += dY X', db += the sums of dY's rows, %s\n\n"
      "| m | n | p | Y apart, us | Y fused, us | apart / fused | dW apart, us | dW fused, us "
      "| apart / fused |\n|---|---|---|---|---|---|---|---|---|\n",
      title);
  for (const auto& [m, n] : layers) {
    for (const Index p : batches) {
      Matrix W = random(m, n, 1);
      Matrix b = random(m, 1, 2);
      const Matrix X = random(n, p, 3);
      const Matrix dY = random(m, p, 4);
      Matrix Y(m, p);
      const ac::View<const float, ac::Cuda> transposed = ac::view_of(X).transposed();
      const auto times =
          medians<4>(device, rounds, p > 64 ? 5 : 200,
                     {[&] {
                        Kernels::gemm<float>(device, 1.0F, W, X, 0.0F, Y);
                        ac::add_to_columns<ac::Cuda, float>(device, b, Y);
                      },
                      [&] { Kernels::gemm_bias<float>(device, 1.0F, W, X, b, Y); },
                      [&] {
                        Kernels::gemm<float>(device, 1.0F, dY, transposed, 1.0F, W);
                        Kernels::add_row_sums<float>(device, dY, b);
                      },
                      [&] { Kernels::gemm_bias_gradient<float>(device, dY, transposed, W, b); }});
      std::printf("| %td | %td | %td | %.1f | %.1f | %.2f | %.1f | %.1f | %.2f |\n", m, n, p,
                  times[0], times[1], times[0] / times[1], times[2], times[3], times[2] / times[3]);
    }
  }
}

void measure_truncation(Index size, Index rank, int rounds) {
  ac::Context<ac::Cuda>& context = ac::Context<ac::Cuda>::current();
  const ac::LowRankMatrix<float, ac::Cuda> start(random(size, rank, 1), random(size, rank, 2));
  const auto times = medians<1>(context.device(), rounds, 1, {[&] {
                                  auto copy = start;
                                  copy.truncate({.max_rank = rank / 2});
                                }});
  std::printf(
      "\n## Truncation to half of the rank\n\n| size | rank | accrete, us |\n|---|---|---|\n"
      "| %td | %td | %.0f |\n",
      size, rank, times[0]);
}

} // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  std::vector<Shape> shapes;
  const std::vector<std::pair<Index, Index>> layers =
      quick ? std::vector<std::pair<Index, Index>>{{24, 16}}
            : std::vector<std::pair<Index, Index>>{
                  {1024, 1024}, {3072, 1024}, {4096, 1024}, {1024, 4096}};
  const std::vector<Index> batches =
      quick ? std::vector<Index>{1, 8} : std::vector<Index>{1, 16, 4096, 16384};
  for (const auto& [m, n] : layers) {
    for (const Index r : quick ? std::vector<Index>{2} : std::vector<Index>{16, 64, 256}) {
      for (const Index p : batches) {
        shapes.push_back({m, n, r, p});
      }
    }
  }
  const int rounds = quick ? 1 : 9;
  measure_products("float", {}, shapes, rounds);
  ac::CudaOptions tf32;
  tf32.math = ac::CudaMath::tf32;
  measure_products("products in TF32", tf32, shapes, rounds);
  measure_bias("float", {}, layers, batches, rounds);
  measure_bias("products in TF32", tf32, layers, batches, rounds);
  measure_truncation(quick ? 64 : 8192, quick ? 8 : 256, rounds);
  return 0;
}
