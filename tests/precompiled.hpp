// SPDX-License-Identifier: MIT
// Compiled once per test binary; a test file includes what it uses all the same.
#pragma once

#if __has_include(<accrete/accrete.hpp>)
#include <accrete/accrete.hpp>
#endif

#include <doctest/doctest.h>
#include <eigen_instantiations.hpp>
