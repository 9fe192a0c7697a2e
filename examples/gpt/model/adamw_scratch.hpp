#pragma once
#include <accrete/accrete.hpp>
#include <accrete/backend/optimizer_step.hpp>
#include <vector>
namespace accrete {
struct AdamWOptions { double beta1=.9, beta2=.999, epsilon=1e-8, weight_decay=.01; };
template <class S, class B = Cpu> class AdamW {
 public:
  AdamW(Index r, Index c, AdamWOptions o) : o_(o), m_(Matrix<S>::Zero(r,c)), v_(m_), steps_(c,0) {}
  void step(View<S> p, View<const S> g, double lr, double scale=1) {
    std::vector<AdamWColumn<S>> cols;
    for (auto& t : steps_) { ++t; cols.push_back({S(lr/(1-std::pow(o_.beta1,t))), S(1/std::sqrt(1-std::pow(o_.beta2,t)))}); }
    AdamWStep<S> st{S(o_.beta1),S(o_.beta2),S(o_.epsilon),S(1-lr*o_.weight_decay),S(scale)};
    Kernels<Cpu>::adamw_update(Context<Cpu>::current().device(), p, g, view_of(m_), view_of(v_), st, std::span<const AdamWColumn<S>>(cols));
  }
 private:
  template <class T> using Matrix = Eigen::Matrix<T,-1,-1>;
  AdamWOptions o_; Matrix<S> m_, v_; std::vector<long> steps_;
};
}
