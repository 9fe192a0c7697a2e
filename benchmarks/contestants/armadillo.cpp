// SPDX-License-Identifier: MIT
// Armadillo's expressions, as one would first write them, and the steps that an expert writes. Its
// products come from the BLAS it is linked to.
#include "adapters.hpp"
#include "suite.hpp"

#include <armadillo>

#include <memory>

namespace benchmarks {

namespace {

using Matrix = arma::fmat;

/// The operands where they lie: Armadillo neither copies nor resizes them.
struct Matrices {
  explicit Matrices(const Operands<float>& o)
      : merge(merging_is_cheaper(o.shape)),
        W0(at(o.W0)),
        U(at(o.U)),
        V(at(o.V)),
        X(at(o.X)),
        dY(at(o.dY)),
        A(at(o.A)),
        Y(at(o.Y)),
        dX(at(o.dX)),
        dU(at(o.dU)),
        dV(at(o.dV)),
        Z(at(o.Z)),
        D(at(o.D)),
        W(at(o.W)) {}

  static Matrix at(const Array<float>& a) {
    return {a.data, static_cast<arma::uword>(a.rows), static_cast<arma::uword>(a.cols), false,
            true};
  }

  bool merge;
  Matrix W0, U, V, X, dY, A, Y, dX, dU, dV, Z, D, W;
};

void apply(Matrices& o) { o.Y = (o.W0 + o.U * o.V.t()) * o.X; }

void apply_by_hand(Matrices& o) {
  if (o.merge) {
    o.W = o.W0;
    o.W += o.U * o.V.t();
    o.Y = o.W * o.X;
  } else {
    o.Z = o.V.t() * o.X;
    o.Y = o.W0 * o.X;
    o.Y += o.U * o.Z;
  }
}

void gradients(Matrices& o) {
  o.Y = (o.W0 + o.U * o.V.t()) * o.X;
  o.dX = (o.W0 + o.U * o.V.t()).t() * o.dY;
  o.dU = o.dY * o.X.t() * o.V;
  o.dV = o.X * o.dY.t() * o.U;
}

void gradients_by_hand(Matrices& o) {
  o.Z = o.V.t() * o.X;
  o.D = o.U.t() * o.dY;
  if (o.merge) {
    o.W = o.W0;
    o.W += o.U * o.V.t();
    o.Y = o.W * o.X;
    o.dX = o.W.t() * o.dY;
  } else {
    o.Y = o.W0 * o.X;
    o.Y += o.U * o.Z;
    o.dX = o.W0.t() * o.dY;
    o.dX += o.V * o.D;
  }
  o.dU = o.dY * o.Z.t();
  o.dV = o.X * o.D.t();
}

void merge(Matrices& o) { o.W += o.U * o.V.t(); }
void chain(Matrices& o) { o.dX = o.A * o.W0 * o.X; }
void low_rank(Matrices& o) { o.Y = o.U * o.V.t() * o.X; }

void truncate_by_hand(Matrices& o) {
  const arma::uword k = o.U.n_cols / 2;
  Matrix qu, ru, qv, rv, left, right;
  arma::fvec values;
  arma::qr_econ(qu, ru, o.U);
  arma::qr_econ(qv, rv, o.V);
  arma::svd_econ(left, values, right, Matrix(ru * rv.t()));
  const arma::frowvec root = arma::sqrt(values.head(k)).t();
  left = left.head_cols(k);
  right = right.head_cols(k);
  left.each_row() %= root;
  right.each_row() %= root;
  o.dU.head_cols(k) = qu * left;
  o.dV.head_cols(k) = qv * right;
}

template <void (*step)(Matrices&)>
std::function<void()> bound(const Operands<float>& o) {
  return [matrices = std::make_shared<Matrices>(o)] { step(*matrices); };
}

template <Order order>
std::function<void()> adapters_by_hand(const Operands<float>& o) {
  struct Update {
    LoadedAdapter<float> adapter;
    Matrix U = Matrices::at(adapter.u);
    Matrix V = Matrices::at(adapter.v);
    arma::uvec columns = arma::conv_to<arma::uvec>::from(adapter.columns);
  };
  std::vector<Update> updates;
  for (const LoadedAdapter<float>& adapter : loaded_adapters(o, order)) {
    updates.push_back({adapter});
  }
  return [updates, all = std::make_shared<Matrices>(o)] {
    all->Y = all->W0 * all->X;
    for (const Update& update : updates) {
      if (order == Order::neighbours) {
        const arma::span some(update.columns.front(), update.columns.back());
        all->Y.cols(some.a, some.b) += update.U * (update.V.t() * all->X.cols(some.a, some.b));
      } else {
        all->Y.cols(update.columns) += update.U * (update.V.t() * all->X.cols(update.columns));
      }
    }
  };
}

[[maybe_unused]] const bool entered =
    enter<float>("apply", "armadillo_expression", Pool::openblas, bound<apply>) &&
    enter<float>("apply", "armadillo_by_hand", Pool::openblas, bound<apply_by_hand>) &&
    enter<float>("gradients", "armadillo_expression", Pool::openblas, bound<gradients>) &&
    enter<float>("gradients", "armadillo_by_hand", Pool::openblas, bound<gradients_by_hand>) &&
    enter<float>("merge", "armadillo_by_hand", Pool::openblas, bound<merge>) &&
    enter<float>("chain", "armadillo_expression", Pool::openblas, bound<chain>) &&
    enter<float>("low_rank", "armadillo_expression", Pool::openblas, bound<low_rank>) &&
    enter<float>("truncate", "armadillo_by_hand", Pool::openblas, bound<truncate_by_hand>) &&
    enter<float>("adapters", "armadillo_by_hand", Pool::openblas,
                 adapters_by_hand<Order::neighbours>) &&
    enter<float>("adapters_mixed", "armadillo_by_hand", Pool::openblas,
                 adapters_by_hand<Order::mixed>);

} // namespace

} // namespace benchmarks
