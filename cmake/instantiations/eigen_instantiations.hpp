// SPDX-License-Identifier: MIT
// Eigen's factorisations and products of dynamic matrices, compiled once instead of in every file
// that uses them: a file with one BDCSVD takes 2 s to compile instead of 28 (g++ 12, -O2). Only
// our own executables use this; a user's program does not need it.
#pragma once

#include <Eigen/Dense>

#define ACCRETE_INSTANTIATE_QR_IN_PLACE(keyword, Scalar)                                           \
  keyword template struct Eigen::internal::householder_qr_inplace_blocked<                         \
      Eigen::Ref<Eigen::MatrixX<Scalar>>, Eigen::VectorX<Scalar>, Scalar, true>;

#define ACCRETE_INSTANTIATE_PRODUCT(keyword, Scalar, left_order, right_order)                      \
  keyword template struct Eigen::internal::general_matrix_matrix_product<                          \
      Eigen::Index, Scalar, left_order, false, Scalar, right_order, false, Eigen::ColMajor, 1>;

#if EIGEN_VERSION_AT_LEAST(3, 4, 90)
#define ACCRETE_SVD_OF(Scalar) Eigen::MatrixX<Scalar>, Eigen::ComputeThinU | Eigen::ComputeThinV
#else
#define ACCRETE_SVD_OF(Scalar) Eigen::MatrixX<Scalar>
#endif

// `keyword` is `extern` in a declaration and empty in the definition.
#define ACCRETE_INSTANTIATE_EIGEN(keyword, Scalar)                                                 \
  keyword template class Eigen::BDCSVD<ACCRETE_SVD_OF(Scalar)>;                                    \
  keyword template class Eigen::JacobiSVD<ACCRETE_SVD_OF(Scalar)>;                                 \
  keyword template class Eigen::HouseholderQR<Eigen::MatrixX<Scalar>>;                             \
  ACCRETE_INSTANTIATE_QR_IN_PLACE(keyword, Scalar)                                                 \
  keyword template class Eigen::SelfAdjointEigenSolver<Eigen::MatrixX<Scalar>>;                    \
  ACCRETE_INSTANTIATE_PRODUCT(keyword, Scalar, Eigen::ColMajor, Eigen::ColMajor)                   \
  ACCRETE_INSTANTIATE_PRODUCT(keyword, Scalar, Eigen::ColMajor, Eigen::RowMajor)                   \
  ACCRETE_INSTANTIATE_PRODUCT(keyword, Scalar, Eigen::RowMajor, Eigen::ColMajor)                   \
  ACCRETE_INSTANTIATE_PRODUCT(keyword, Scalar, Eigen::RowMajor, Eigen::RowMajor)

ACCRETE_INSTANTIATE_EIGEN(extern, float)
ACCRETE_INSTANTIATE_EIGEN(extern, double)
