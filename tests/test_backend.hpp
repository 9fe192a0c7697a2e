// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>

/// The host backend that this test binary is about: accrete::Cpu or accrete::Reference.
using TestBackend = ACCRETE_TEST_BACKEND;

/// The scalars of a templated test. What differs between them lies in the kernels, so binaries that
/// would cost much compile time leave one out.
#ifdef ACCRETE_TEST_ONE_SCALAR
#define TEST_SCALARS double
#else
#define TEST_SCALARS float, double
#endif
