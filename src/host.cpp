// SPDX-License-Identifier: MIT
// Small dense problems in host memory of accrete::compiled.
#include <accrete/backend/host/small_dense.hpp>
#include <accrete/backend/host/small_eigen.hpp>
