// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/version.hpp>

#include <Eigen/Core>

// Everything that changes the code of an inline function changes the name of the inline namespace,
// so that two translation units configured differently link without sharing definitions.
#if defined(ACCRETE_USE_ONEDNN) && defined(ACCRETE_USE_BLAS)
#error "accrete: ACCRETE_USE_ONEDNN and ACCRETE_USE_BLAS exclude each other; define one of them"
#elif defined(ACCRETE_USE_ONEDNN)
#define ACCRETE_DETAIL_PROVIDER onednn
#elif defined(ACCRETE_USE_BLAS)
#define ACCRETE_DETAIL_PROVIDER blas
#else
#define ACCRETE_DETAIL_PROVIDER eigen
#endif
#ifdef _OPENMP
#define ACCRETE_DETAIL_THREADING openmp
#else
#define ACCRETE_DETAIL_THREADING serial
#endif
#define ACCRETE_DETAIL_JOIN_(version, provider, threading) v##version##_##provider##_##threading
#define ACCRETE_DETAIL_JOIN(version, provider, threading)                                          \
  ACCRETE_DETAIL_JOIN_(version, provider, threading)
#define ACCRETE_ABI_NAMESPACE                                                                      \
  ACCRETE_DETAIL_JOIN(0_1, ACCRETE_DETAIL_PROVIDER, ACCRETE_DETAIL_THREADING)

#define ACCRETE_BEGIN_NAMESPACE                                                                    \
  namespace accrete {                                                                              \
  inline namespace ACCRETE_ABI_NAMESPACE {
#define ACCRETE_END_NAMESPACE                                                                      \
  }                                                                                                \
  }

#if !EIGEN_VERSION_AT_LEAST(3, 4, 0)
#error "accrete: Eigen 3.4 or newer is needed"
#endif

ACCRETE_BEGIN_NAMESPACE
using Index = Eigen::Index;
ACCRETE_END_NAMESPACE
