// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/version.hpp>

#include <Eigen/Core>

// Everything that changes the code of an inline function changes the name of the inline namespace,
// so that translation units configured differently link without sharing definitions: the version,
// the provider of products, threads, the instruction set, relaxed arithmetic and exceptions.
#if defined(ACCRETE_USE_ONEDNN) && defined(ACCRETE_USE_BLAS)
#error "accrete: ACCRETE_USE_ONEDNN and ACCRETE_USE_BLAS exclude each other; define one of them"
#elif defined(ACCRETE_USE_ONEDNN)
#define ACCRETE_DETAIL_PROVIDER onednn
#elif defined(ACCRETE_USE_BLAS)
#define ACCRETE_DETAIL_PROVIDER blas
#else
#define ACCRETE_DETAIL_PROVIDER eigen
#endif
#if defined(_OPENMP)
#define ACCRETE_DETAIL_THREADING omp
#elif defined(ACCRETE_OPENMP_SIMD)
#define ACCRETE_DETAIL_THREADING simd
#else
#define ACCRETE_DETAIL_THREADING serial
#endif
#if defined(ACCRETE_COMPILED)
#define ACCRETE_DETAIL_VECTORS compiled // nothing that depends on them is seen by its users
#elif defined(__AVX512F__)
#define ACCRETE_DETAIL_VECTORS avx512
#elif defined(__AVX2__)
#define ACCRETE_DETAIL_VECTORS avx2
#elif defined(__AVX__)
#define ACCRETE_DETAIL_VECTORS avx
#elif defined(__SSE4_2__)
#define ACCRETE_DETAIL_VECTORS sse4
#else
#define ACCRETE_DETAIL_VECTORS base
#endif
// Contraction of a * b + c, and relaxed rules, change results.
#if defined(ACCRETE_COMPILED)
#define ACCRETE_DETAIL_ARITHMETIC
#elif defined(__FMA__) && defined(__FAST_MATH__)
#define ACCRETE_DETAIL_ARITHMETIC _fma_fast
#elif defined(__FMA__)
#define ACCRETE_DETAIL_ARITHMETIC _fma
#elif defined(__FAST_MATH__)
#define ACCRETE_DETAIL_ARITHMETIC _fast
#else
#define ACCRETE_DETAIL_ARITHMETIC
#endif
#ifdef __cpp_exceptions
#define ACCRETE_DETAIL_ERRORS
#else
#define ACCRETE_DETAIL_ERRORS _abort
#endif
#define ACCRETE_DETAIL_JOIN_(major, minor, provider, threading, vectors, arithmetic, errors)       \
  v##major##_##minor##_##provider##_##threading##_##vectors##arithmetic##errors
#define ACCRETE_DETAIL_JOIN(...) ACCRETE_DETAIL_JOIN_(__VA_ARGS__)
#define ACCRETE_ABI_NAMESPACE                                                                      \
  ACCRETE_DETAIL_JOIN(ACCRETE_VERSION_MAJOR, ACCRETE_VERSION_MINOR, ACCRETE_DETAIL_PROVIDER,       \
                      ACCRETE_DETAIL_THREADING, ACCRETE_DETAIL_VECTORS, ACCRETE_DETAIL_ARITHMETIC, \
                      ACCRETE_DETAIL_ERRORS)

// As a library (target accrete::compiled) planner and kernels are compiled once, with the flags of
// that library; what a user's file compiles of them are their declarations.
#if defined(ACCRETE_COMPILED) && !defined(ACCRETE_COMPILING)
#define ACCRETE_HAS_DEFINITIONS 0
#else
#define ACCRETE_HAS_DEFINITIONS 1
#endif
#ifdef ACCRETE_COMPILED
#define ACCRETE_COMPILED_INLINE
#else
#define ACCRETE_COMPILED_INLINE inline
#endif

// ACCRETE_SIMD(clauses) before a loop lets it be vectorised, and a sum in it be taken in any order.
// Compilers warn about a pragma that they are not asked to know: with -fopenmp-simd alone, which
// defines nothing, ACCRETE_OPENMP_SIMD says that they are.
#if defined(_OPENMP) || defined(ACCRETE_OPENMP_SIMD)
#define ACCRETE_DETAIL_PRAGMA(...) _Pragma(#__VA_ARGS__)
#define ACCRETE_SIMD(...) ACCRETE_DETAIL_PRAGMA(omp simd __VA_ARGS__)
#else
#define ACCRETE_SIMD(...)
#endif

// A function that a device may run as well as the host.
#ifdef __CUDACC__
#define ACCRETE_DEVICE_TOO __host__ __device__
#else
#define ACCRETE_DEVICE_TOO
#endif

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
