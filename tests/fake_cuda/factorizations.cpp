// SPDX-License-Identifier: MIT
#include "factorizations.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>

#include <cmath>
#include <limits>

namespace fake_cuda::detail {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;

MatrixXd not_a_number(Index rows, Index cols) {
  return MatrixXd::Constant(rows, cols, std::numeric_limits<double>::quiet_NaN());
}

/// In the precision of the entries, which decides whether a matrix is positive definite. The order
/// of the first leading minor that is not, or 0.
template <class T>
int factor_cholesky(MatrixXd& values, bool lower) {
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
  Matrix l = values.template cast<T>();
  if (!lower) {
    l.transposeInPlace();
  }
  const Index n = l.rows();
  int outcome = 0;
  for (Index j = 0; j < n; ++j) {
    const T pivot = l(j, j) - l.row(j).head(j).squaredNorm();
    if (!(pivot > 0)) {
      outcome = static_cast<int>(j + 1);
      break;
    }
    l(j, j) = std::sqrt(pivot);
    for (Index i = j + 1; i < n; ++i) {
      l(i, j) = (l(i, j) - l.row(i).head(j).dot(l.row(j).head(j))) / l(j, j);
    }
  }
  if (!lower) {
    l.transposeInPlace();
  }
  values = l.template cast<double>();
  return outcome;
}

} // namespace

void run_geqrf(const Operand& a, const Operand& tau) {
  if (a.empty()) {
    return;
  }
  const Eigen::HouseholderQR<MatrixXd> qr(a.read()); // in LAPACK's form
  a.write(qr.matrixQR());
  tau.write(qr.hCoeffs());
}

void run_orgqr(const Operand& a, const Operand& tau) {
  const MatrixXd reflectors = a.read();
  const MatrixXd factors = tau.read();
  MatrixXd q = MatrixXd::Identity(a.rows, a.cols);
  for (Index j = tau.rows - 1; j >= 0; --j) {
    Eigen::VectorXd v = Eigen::VectorXd::Zero(a.rows);
    v(j) = 1;
    v.tail(a.rows - j - 1) = reflectors.col(j).tail(a.rows - j - 1);
    const Eigen::RowVectorXd product = v.transpose() * q;
    q.noalias() -= factors(j, 0) * v * product;
  }
  a.write(q);
}

int run_potrf(const Operand& a, bool lower) {
  MatrixXd values = a.read();
  const int outcome = a.type == CUDA_R_64F ? factor_cholesky<double>(values, lower)
                                           : factor_cholesky<float>(values, lower);
  a.write(values); // the other triangle as it was
  return outcome;
}

int run_syevd(const Operand& a, const Operand& values, bool vectors, bool lower) {
  if (a.empty()) {
    return 0;
  }
  MatrixXd matrix = a.read();
  if (!lower) {
    matrix.transposeInPlace();
  }
  const Index n = matrix.rows();
  matrix.triangularView<Eigen::StrictlyUpper>() = matrix.transpose();
  if (!matrix.allFinite()) {
    a.write(not_a_number(n, n));
    values.write(not_a_number(n, 1));
    return static_cast<int>(n);
  }
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(matrix);
  values.write(solver.eigenvalues());
  a.write(vectors ? solver.eigenvectors() : not_a_number(n, n));
  return 0;
}

int run_gesvd(const Operand& a, const Operand& s, const Operand& u, const Operand& vt) {
  if (a.empty()) {
    return 0;
  }
  const MatrixXd matrix = a.read();
  a.write(not_a_number(a.rows, a.cols)); // whose content is lost
  if (!matrix.allFinite()) {
    s.write(not_a_number(s.rows, 1));
    u.write(not_a_number(u.rows, u.cols));
    vt.write(not_a_number(vt.rows, vt.cols));
    return static_cast<int>(a.cols);
  }
  const bool full = u.cols > a.cols;
  const Eigen::JacobiSVD<MatrixXd, Eigen::HouseholderQRPreconditioner> thin(
      matrix, Eigen::ComputeThinU | Eigen::ComputeThinV);
  s.write(thin.singularValues());
  vt.write(thin.matrixV().transpose());
  if (full) {
    MatrixXd all(a.rows, a.rows);
    const Eigen::HouseholderQR<MatrixXd> qr(thin.matrixU());
    all = qr.householderQ();
    all.leftCols(a.cols) = thin.matrixU();
    u.write(all);
  } else {
    u.write(thin.matrixU());
  }
  return 0;
}

} // namespace fake_cuda::detail
