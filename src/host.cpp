// SPDX-License-Identifier: MIT
// Small dense problems in host memory of accrete::compiled.
#include <accrete/backend/host/small_eigen.hpp>
#include <accrete/factor/significant_split.hpp>
