// SPDX-License-Identifier: MIT
#pragma once

/// Semantic version of the library: major * 10000 + minor * 100 + patch.
#define ACCRETE_VERSION 100
#define ACCRETE_VERSION_MAJOR 0
#define ACCRETE_VERSION_MINOR 1
#define ACCRETE_VERSION_PATCH 0
