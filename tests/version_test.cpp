// SPDX-License-Identifier: MIT
#include <accrete/version.hpp>

#include <doctest/doctest.h>

TEST_CASE("the version number and its parts agree") {
  CHECK(ACCRETE_VERSION ==
        ACCRETE_VERSION_MAJOR * 10000 + ACCRETE_VERSION_MINOR * 100 + ACCRETE_VERSION_PATCH);
}
