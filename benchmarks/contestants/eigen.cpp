// SPDX-License-Identifier: MIT
// Eigen's own expressions, as one would first write them, and the steps that an expert writes.
#include "adapters.hpp"
#include "eigen_maps.hpp"
#include "suite.hpp"

namespace benchmarks {

namespace {

template <class Scalar>
std::function<void()> dense(const Operands<Scalar>& o) {
  return [W0 = map(o.W0), X = map(o.X), Y = map(o.Y)]() mutable { Y.noalias() = W0 * X; };
}

template <class Scalar>
std::function<void()> apply(const Operands<Scalar>& o) {
  return [W0 = map(o.W0), U = map(o.U), V = map(o.V), X = map(o.X), Y = map(o.Y)]() mutable {
    Y.noalias() = (W0 + U * V.transpose()) * X;
  };
}

template <class Scalar>
std::function<void()> apply_by_hand(const Operands<Scalar>& o) {
  return [o, W0 = map(o.W0), U = map(o.U), V = map(o.V), X = map(o.X), Y = map(o.Y), Z = map(o.Z),
          W = map(o.W)]() mutable {
    if (merging_is_cheaper(o.shape)) {
      W = W0;
      W.noalias() += U * V.transpose();
      Y.noalias() = W * X;
    } else {
      Z.noalias() = V.transpose() * X;
      Y.noalias() = W0 * X;
      Y.noalias() += U * Z;
    }
  };
}

std::function<void()> gradients(const Operands<float>& o) {
  return [W0 = map(o.W0), U = map(o.U), V = map(o.V), X = map(o.X), dY = map(o.dY), Y = map(o.Y),
          dX = map(o.dX), dU = map(o.dU), dV = map(o.dV)]() mutable {
    Y.noalias() = (W0 + U * V.transpose()) * X;
    dX.noalias() = (W0 + U * V.transpose()).transpose() * dY;
    dU.noalias() = dY * X.transpose() * V;
    dV.noalias() = X * dY.transpose() * U;
  };
}

std::function<void()> gradients_by_hand(const Operands<float>& o) {
  return [o, W0 = map(o.W0), U = map(o.U), V = map(o.V), X = map(o.X), dY = map(o.dY), Y = map(o.Y),
          dX = map(o.dX), dU = map(o.dU), dV = map(o.dV), Z = map(o.Z), D = map(o.D),
          W = map(o.W)]() mutable {
    Z.noalias() = V.transpose() * X;
    D.noalias() = U.transpose() * dY;
    if (merging_is_cheaper(o.shape)) {
      W = W0;
      W.noalias() += U * V.transpose();
      Y.noalias() = W * X;
      dX.noalias() = W.transpose() * dY;
    } else {
      Y.noalias() = W0 * X;
      Y.noalias() += U * Z;
      dX.noalias() = W0.transpose() * dY;
      dX.noalias() += V * D;
    }
    dU.noalias() = dY * Z.transpose();
    dV.noalias() = X * D.transpose();
  };
}

std::function<void()> merge(const Operands<float>& o) {
  return [W = map(o.W), U = map(o.U), V = map(o.V)]() mutable { W.noalias() += U * V.transpose(); };
}

std::function<void()> chain(const Operands<float>& o) {
  return [A = map(o.A), W0 = map(o.W0), X = map(o.X), Y = map(o.dX)]() mutable {
    Y.noalias() = A * W0 * X;
  };
}

std::function<void()> chain_by_hand(const Operands<float>& o) {
  return [A = map(o.A), W0 = map(o.W0), X = map(o.X), Y = map(o.dX), T = map(o.Y)]() mutable {
    T.noalias() = W0 * X;
    Y.noalias() = A * T;
  };
}

std::function<void()> low_rank(const Operands<float>& o) {
  return [U = map(o.U), V = map(o.V), X = map(o.X), Y = map(o.Y)]() mutable {
    Y.noalias() = U * V.transpose() * X;
  };
}

std::function<void()> low_rank_by_hand(const Operands<float>& o) {
  return [U = map(o.U), V = map(o.V), X = map(o.X), Y = map(o.Y), Z = map(o.Z)]() mutable {
    Z.noalias() = V.transpose() * X;
    Y.noalias() = U * Z;
  };
}

std::function<void()> truncate_by_hand(const Operands<float>& o) {
  return [U = map(o.U), V = map(o.V), left = map(o.dU), right = map(o.dV)]() mutable {
    using Matrix = Eigen::MatrixXf;
    const Eigen::Index r = U.cols();
    const Eigen::Index k = r / 2;
    const Eigen::HouseholderQR<Matrix> qr_u(U);
    const Eigen::HouseholderQR<Matrix> qr_v(V);
    const auto triangle = [r](const auto& qr) {
      return Matrix(qr.matrixQR().topRows(r).template triangularView<Eigen::Upper>());
    };
    const Matrix core = triangle(qr_u) * triangle(qr_v).transpose();
    const Eigen::BDCSVD<Matrix> svd(core, Eigen::ComputeThinU | Eigen::ComputeThinV);
    const auto root = svd.singularValues().head(k).cwiseSqrt().asDiagonal();
    const auto turned = [k](const auto& qr, const Matrix& rotation) {
      Matrix basis = Matrix::Zero(qr.rows(), k);
      basis.topRows(rotation.rows()) = rotation;
      basis.applyOnTheLeft(qr.householderQ());
      return basis;
    };
    left.leftCols(k) = turned(qr_u, svd.matrixU().leftCols(k) * root);
    right.leftCols(k) = turned(qr_v, svd.matrixV().leftCols(k) * root);
  };
}

/// Column by column.
template <Order order>
std::function<void()> adapters(const Operands<float>& o) {
  return [all = loaded_adapters(o, order), owner = adapter_of_column(o.shape, order),
          W0 = map(o.W0), X = map(o.X), Y = map(o.Y)]() mutable {
    Y.noalias() = W0 * X;
    for (Eigen::Index j = 0; j < Y.cols(); ++j) {
      const auto& adapter = all[static_cast<std::size_t>(owner[static_cast<std::size_t>(j)])];
      Y.col(j).noalias() += map(adapter.u) * (map(adapter.v).transpose() * X.col(j)).eval();
    }
  };
}

/// Adapter by adapter; Eigen gathers and scatters columns by lists of their indices.
template <Order order>
std::function<void()> adapters_by_hand(const Operands<float>& o) {
  return
      [all = loaded_adapters(o, order), W0 = map(o.W0), X = map(o.X), Y = map(o.Y),
       gathered = Eigen::MatrixXf(), Z = Eigen::MatrixXf(), added = Eigen::MatrixXf()]() mutable {
        Y.noalias() = W0 * X;
        for (const LoadedAdapter<float>& adapter : all) {
          const auto u = map(adapter.u);
          const auto v = map(adapter.v);
          const auto count = static_cast<Eigen::Index>(adapter.columns.size());
          if (order == Order::neighbours) {
            Z.noalias() = v.transpose() * X.middleCols(adapter.columns.front(), count);
            Y.middleCols(adapter.columns.front(), count).noalias() += u * Z;
          } else {
            gathered = X(Eigen::all, adapter.columns);
            Z.noalias() = v.transpose() * gathered;
            added.noalias() = u * Z;
            Y(Eigen::all, adapter.columns) += added;
          }
        }
      };
}

[[maybe_unused]] const bool entered =
    enter<float>("dense", "eigen", Pool::openmp, dense<float>) &&
    enter<double>("dense", "eigen", Pool::openmp, dense<double>) &&
    enter<float>("apply", "eigen_expression", Pool::openmp, apply<float>) &&
    enter<double>("apply", "eigen_expression", Pool::openmp, apply<double>) &&
    enter<float>("apply", "eigen_by_hand", Pool::openmp, apply_by_hand<float>) &&
    enter<double>("apply", "eigen_by_hand", Pool::openmp, apply_by_hand<double>) &&
    enter<float>("gradients", "eigen_expression", Pool::openmp, gradients) &&
    enter<float>("gradients", "eigen_by_hand", Pool::openmp, gradients_by_hand) &&
    enter<float>("merge", "eigen_by_hand", Pool::openmp, merge) &&
    enter<float>("chain", "eigen_expression", Pool::openmp, chain) &&
    enter<float>("chain", "eigen_by_hand", Pool::openmp, chain_by_hand) &&
    enter<float>("low_rank", "eigen_expression", Pool::openmp, low_rank) &&
    enter<float>("low_rank", "eigen_by_hand", Pool::openmp, low_rank_by_hand) &&
    enter<float>("truncate", "eigen_by_hand", Pool::openmp, truncate_by_hand) &&
    enter<float>("adapters", "eigen_expression", Pool::openmp, adapters<Order::neighbours>) &&
    enter<float>("adapters_mixed", "eigen_expression", Pool::openmp, adapters<Order::mixed>) &&
    enter<float>("adapters", "eigen_by_hand", Pool::openmp, adapters_by_hand<Order::neighbours>) &&
    enter<float>("adapters_mixed", "eigen_by_hand", Pool::openmp, adapters_by_hand<Order::mixed>);

} // namespace

} // namespace benchmarks
