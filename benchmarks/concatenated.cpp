// SPDX-License-Identifier: MIT
// W0 X + U (Vᵀ X) as two products, as the one product [W0 U] [X; Z], and with W0 + U Vᵀ formed
// first. Z = Vᵀ X lies below X already ("spare rows"), or X is copied ("copied"). The plans are
// forced by cost models; the last columns tell what this machine's calibrated model chooses, and
// how its choice compares with the fastest of what it can choose from. Prints Markdown.
//
//     build/release/benchmarks/concatenated [--rounds N]
#include <accrete/accrete.hpp>
#include <accrete/plan/calibrate.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ac = accrete;
using ac::Index;
using Matrix = Eigen::MatrixXf;

namespace {

/// Makes one way of evaluating (W0 + U Vᵀ) X, m x n by n x p, cheaper than the others.
class Forced final : public ac::CostModel {
 public:
  enum class Way { apart, joined, merged };
  explicit Forced(Way way) : way_(way) {}

  [[nodiscard]] double seconds(const ac::KernelCall& call) const override {
    const bool forms_weight = call.m == rows && call.n == cols;
    if (call.kernel == ac::Kernel::combine) {
      return forms_weight == (way_ == Way::merged) && way_ != Way::apart ? 0.0 : 1e3;
    }
    return forms_weight && way_ != Way::merged ? 1e3 : 1.0;
  }

  Index rows = 0; ///< of the weight
  Index cols = 0;

 private:
  Way way_;
};

double seconds_of(const std::function<void()>& work, int count) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    work();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / count;
}

/// Medians of interleaved rounds.
std::vector<double> times_of(const std::vector<std::function<void()>>& contestants, int rounds) {
  const double once = seconds_of(contestants[0], 2);
  const int count = std::clamp(static_cast<int>(5e-3 / once), 1, 200);
  std::vector<std::vector<double>> times(contestants.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t c = 0; c < contestants.size(); ++c) {
      contestants[c]();
      times[c].push_back(seconds_of(contestants[c], count));
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& series : times) {
    std::sort(series.begin(), series.end());
    medians.push_back(series[series.size() / 2]);
  }
  return medians;
}

struct Shape {
  Index m, n, r, p;
};

const char* way_of(const ac::Plan& plan) {
  for (const ac::PlanTemporary& t : plan.temporaries) {
    if (t.whole >= 0) {
      return "copied";
    }
  }
  return plan.steps.size() == 3 && plan.steps[0].kernel == ac::Kernel::combine ? "merged" : "apart";
}

void measure_forward(const Shape& s, const std::shared_ptr<const ac::CostModel>& model,
                     int rounds) {
  ac::CumulativeUpdate<float> W(
      Matrix::Random(s.m, s.n),
      ac::LowRankMatrix<float>(Matrix::Random(s.m, s.r), Matrix::Random(s.n, s.r)));
  const Matrix X = Matrix::Random(s.n, s.p);
  Matrix XZ(s.n + s.r, s.p);
  XZ.topRows(s.n) = X;
  Matrix Y(s.m, s.p);

  ac::Context<> chosen(model);
  std::vector<std::unique_ptr<ac::Context<>>> contexts;
  std::vector<std::function<void()>> contestants;
  const auto force = [&](Forced::Way way) -> ac::Context<>& {
    auto forced = std::make_shared<Forced>(way);
    forced->rows = s.m;
    forced->cols = s.n;
    contexts.push_back(std::make_unique<ac::Context<>>(forced));
    return *contexts.back();
  };
  for (const auto way : {Forced::Way::apart, Forced::Way::joined, Forced::Way::merged}) {
    contestants.emplace_back([&, &context = force(way)] {
      const ac::ScopedContext<ac::Cpu> scope(context);
      ac::noalias(Y) = W * X;
    });
  }
  contestants.emplace_back([&, &context = *contexts[1]] {
    const ac::ScopedContext<ac::Cpu> scope(context);
    auto x = XZ.topRows(s.n);
    auto z = XZ.bottomRows(s.r);
    ac::noalias(z) = W.project(x);
    ac::noalias(Y) = W.apply(x, z);
  });

  const std::vector<double> m = times_of(contestants, rounds);
  const std::string way = way_of(ac::plan(chosen, W * X));
  const double taken = way == "apart" ? m[0] : way == "copied" ? m[1] : m[2];
  std::printf("| %td x %td | %td | %td | %.1f | %.2f | %.2f | %.2f | %s | %.2f |\n", s.m, s.n, s.r,
              s.p, m[0] * 1e6, m[1] / m[0], m[3] / m[0], m[2] / m[0], way.c_str(),
              taken / std::min({m[0], m[1], m[2]}));
  std::fflush(stdout);
}

void measure_backward(const Shape& s, int rounds) {
  const Matrix base_and_u = Matrix::Random(s.m, s.n + s.r);
  const auto W0 = base_and_u.leftCols(s.n);
  const auto U = base_and_u.rightCols(s.r);
  const Matrix V = Matrix::Random(s.n, s.r);
  const Matrix dY = Matrix::Random(s.m, s.p);
  Matrix D(s.r, s.p);
  Matrix dX(s.n, s.p);
  Matrix GD(s.n + s.r, s.p);
  auto g = GD.topRows(s.n);
  auto d = GD.bottomRows(s.r);
  const std::vector<double> m = times_of({[&] {
                                            ac::noalias(D) = ac::transpose(U) * dY;
                                            ac::noalias(dX) =
                                                ac::transpose(W0) * dY + ac::lazy(V) * D;
                                          },
                                          [&] {
                                            ac::noalias(GD) = ac::transpose(base_and_u) * dY;
                                            ac::noalias(dX) = ac::lazy(g) + ac::lazy(V) * d;
                                          },
                                          [&] {
                                            ac::noalias(GD) = ac::transpose(base_and_u) * dY;
                                            ac::noalias(g) += ac::lazy(V) * d;
                                          }},
                                         rounds);
  std::printf("| %td x %td | %td | %td | %.1f | %.2f | %.2f |\n", s.m, s.n, s.r, s.p, m[0] * 1e6,
              m[1] / m[0], m[2] / m[0]);
  std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
  const int rounds = argc == 3 && std::string(argv[1]) == "--rounds" ? std::atoi(argv[2]) : 15;
  std::vector<Shape> shapes;
  for (const auto& [m, n] :
       {std::pair<Index, Index>{768, 768}, {3072, 768}, {768, 3072}, {1024, 1024}, {4096, 1024}}) {
    for (const Index r : {4, 16, 64, 256}) {
      for (const Index p : {1, 8, 64, 1024}) {
        shapes.push_back({m, n, r, p});
      }
    }
  }
  const auto model = std::make_shared<const ac::MeasuredModel>(ac::calibrate());
  std::printf("| m x n | r | p | apart, us | copied | spare rows | merged | chosen | over best |\n"
              "|---|---:|---:|---:|---:|---:|---:|---|---:|\n");
  for (const Shape& shape : shapes) {
    measure_forward(shape, model, rounds);
  }
  std::printf("\n| m x n | r | p | apart, us | copied | left in place |\n"
              "|---|---:|---:|---:|---:|---:|\n");
  for (const Shape& shape : shapes) {
    measure_backward(shape, rounds);
  }
}
