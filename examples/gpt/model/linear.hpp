// SPDX-License-Identifier: MIT
#pragma once
#include "model/parameter.hpp"
#include "model/config.hpp"
#include "model/small_product.hpp"
namespace gpt {
template <class Scalar>
class Linear {
 public:
  Linear(std::string name, Index out, Index in, bool bias, double deviation, std::uint64_t seed)
      : name_(std::move(name)), w_(out, in), g_(Matrix<Scalar>::Zero(out, in)), b_(Vector<Scalar>::Zero(bias?out:0)), db_(b_) {
    accrete::Kernels<accrete::Cpu>::fill_normal(device(), tensor_seed(seed, name_), deviation, accrete::view_of(w_));
  }
  static accrete::Device<accrete::Cpu>& device() { thread_local accrete::Device<accrete::Cpu> d; return d; }
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) {
    y.resize(w_.rows(), x.cols());
    multiply<Scalar>(1, accrete::view_of(w_), accrete::view_of(x), 0, accrete::view_of(y));
  }
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) {
    multiply<Scalar>(1, accrete::view_of(dy), accrete::view_of(x).transposed(), 1, accrete::view_of(g_));
    dx.resize(x.rows(), x.cols());
    multiply<Scalar>(1, accrete::view_of(std::as_const(w_)).transposed(), accrete::view_of(dy), 0, accrete::view_of(dx));
  }
  template <class F> void for_each_parameter(const F& f) {
    f(Parameter<Scalar>{name_ + ".weight", accrete::view_of(w_), accrete::view_of(g_), true});
    if (b_.size()) f(Parameter<Scalar>{name_ + ".bias", accrete::view_of(b_), accrete::view_of(db_), false});
  }
 private:
  std::string name_; Matrix<Scalar> w_, g_; Vector<Scalar> b_, db_;
};
}
