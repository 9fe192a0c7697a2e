// SPDX-License-Identifier: MIT
#include <accrete/config.hpp>

#include <doctest/doctest.h>

#include <string>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

TEST_CASE("the version and its parts agree, for the preprocessor too") {
#if ACCRETE_VERSION !=                                                                             \
    ACCRETE_VERSION_MAJOR * 10000 + ACCRETE_VERSION_MINOR * 100 + ACCRETE_VERSION_PATCH
  FAIL("ACCRETE_VERSION is something else");
#endif
  CHECK(ACCRETE_VERSION / 10000 == ACCRETE_VERSION_MAJOR);
  CHECK(ACCRETE_VERSION / 100 % 100 == ACCRETE_VERSION_MINOR);
}

TEST_CASE("the inline namespace names the version and what changes inline functions") {
  const std::string name = TEXT(ACCRETE_ABI_NAMESPACE);
  CAPTURE(name);
  CHECK(name.starts_with("v" TEXT(ACCRETE_VERSION_MAJOR) "_" TEXT(ACCRETE_VERSION_MINOR) "_"));
  const auto names = [&name](const char* part) { return name.find(part) != std::string::npos; };
#if defined(ACCRETE_USE_ONEDNN)
  CHECK(names("_onednn_"));
#elif defined(ACCRETE_USE_BLAS)
  CHECK(names("_blas_"));
#else
  CHECK(names("_eigen_"));
#endif
#if defined(_OPENMP)
  CHECK(names("_omp_"));
#elif defined(ACCRETE_OPENMP_SIMD)
  CHECK(names("_simd_"));
#else
  CHECK(names("_serial_"));
#endif
#if defined(ACCRETE_COMPILED)
  // Whatever the instructions of this file: it has none of the code that depends on them.
  CHECK(name.ends_with("_compiled"));
#else
#if defined(__AVX512F__)
  CHECK(names("_avx512"));
#elif !defined(__SSE4_2__)
  CHECK(names("_base"));
#endif
#if defined(__FMA__)
  CHECK(names("_fma"));
#else
  CHECK(!names("_fma"));
#endif
#endif
}
