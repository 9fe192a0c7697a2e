// SPDX-License-Identifier: MIT
#pragma once

#include "methods/method_support.hpp"

namespace method_test {

/// U diag(σ) Vᵀ with a textbook AdamW for each direction, whose columns of U and V have length 1.
struct Directions {
  struct Optimizers {
    DenseAdamW u, sigma, v;
  };

  Mat u, v;
  Eigen::VectorXd sigma; ///< or what is trained in its place
  std::vector<Optimizers> optimizers;
  accrete::AdamWOptions options, undecayed;

  Directions(Weight& weight, const std::string& trained, const accrete::AdamWOptions& adamw)
      : options(adamw), undecayed(adamw) {
    undecayed.weight_decay = 0;
    auto p = parameters_of(weight);
    u = p.at("weight_u");
    v = p.at("weight_v");
    sigma = p.at(trained);
    for (Index i = 0; i < sigma.size(); ++i) {
      optimizers.push_back(fresh());
    }
  }

  [[nodiscard]] Optimizers fresh() const {
    return {DenseAdamW(undecayed), DenseAdamW(options), DenseAdamW(undecayed)};
  }
  /// One step by the gradients of U, of σ and of V.
  void step(const Mat& du, const Eigen::VectorXd& dsigma, const Mat& dv, double rate) {
    for (Index i = 0; i < sigma.size(); ++i) {
      auto& optimizer = optimizers[static_cast<std::size_t>(i)];
      Mat column = u.col(i);
      optimizer.u.step(column, du.col(i), rate);
      u.col(i) = column.normalized();
      column = v.col(i);
      optimizer.v.step(column, dv.col(i), rate);
      v.col(i) = column.normalized();
      Mat value = sigma.row(i);
      optimizer.sigma.step(value, dsigma.row(i), rate);
      sigma.row(i) = value;
    }
  }
  void keep(const std::vector<Index>& kept) {
    const Directions before = *this;
    u.resize(u.rows(), static_cast<Index>(kept.size()));
    v.resize(v.rows(), u.cols());
    sigma.resize(u.cols());
    optimizers.clear();
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const auto j = static_cast<Index>(i);
      u.col(j) = before.u.col(kept[i]);
      v.col(j) = before.v.col(kept[i]);
      sigma[j] = before.sigma[kept[i]];
      optimizers.push_back(before.optimizers[static_cast<std::size_t>(kept[i])]);
    }
  }
};

} // namespace method_test
