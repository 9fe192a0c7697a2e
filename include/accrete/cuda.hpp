// SPDX-License-Identifier: MIT
#pragma once

// Adds the cuda backend to the CPU library: link accrete::cuda.
#include <accrete/accrete.hpp>
#include <accrete/backend/cuda/bfloat16.hpp>
#include <accrete/backend/cuda/graph.hpp>
#include <accrete/backend/cuda/kernels.hpp>
#include <accrete/backend/cuda/pinned.hpp>
#include <accrete/matrix/async_host_copy.hpp>
