// SPDX-License-Identifier: MIT
#pragma once

// All of the CPU library.
#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/plan/explain.hpp>
