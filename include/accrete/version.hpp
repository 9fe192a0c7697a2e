// SPDX-License-Identifier: MIT
#pragma once

#define ACCRETE_VERSION_MAJOR 0
#define ACCRETE_VERSION_MINOR 1
#define ACCRETE_VERSION_PATCH 0

/// Semantic version of the library: major * 10000 + minor * 100 + patch.
#define ACCRETE_VERSION                                                                            \
  (ACCRETE_VERSION_MAJOR * 10000 + ACCRETE_VERSION_MINOR * 100 + ACCRETE_VERSION_PATCH)
