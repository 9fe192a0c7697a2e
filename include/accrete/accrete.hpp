// SPDX-License-Identifier: MIT
#pragma once

// All of the CPU library.
#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/grad/gradients.hpp>
#include <accrete/matrix/cumulative_update.hpp>
#include <accrete/plan/explain.hpp>
#include <accrete/plan/in_order.hpp>
