// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>

/// The host backend that this test binary is about: accrete::Cpu or accrete::Reference.
using TestBackend = ACCRETE_TEST_BACKEND;
