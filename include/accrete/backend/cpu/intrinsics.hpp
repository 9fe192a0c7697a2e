// SPDX-License-Identifier: MIT
#pragma once

// Around code that ends in AVX-512 intrinsics: g++ 12 takes their deliberately undefined operand
// for a mistake (PR 105593).
#if defined(__GNUC__) && !defined(__clang__)
#define ACCRETE_BEGIN_INTRINSICS                                                                   \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wuninitialized\"")             \
      _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#define ACCRETE_END_INTRINSICS _Pragma("GCC diagnostic pop")
#else
#define ACCRETE_BEGIN_INTRINSICS
#define ACCRETE_END_INTRINSICS
#endif
