// SPDX-License-Identifier: MIT
#pragma once

#include "temporary_folder.hpp"

#include <doctest/doctest.h>

#include <array>
#include <clocale>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

/// While it lives, printf writes 1,5 and strtod reads it: a locale of its own, so that the test
/// does not depend on those that are installed. In the file format of glibc alone.
class CommaLocale {
 public:
  CommaLocale() : before_(std::setlocale(LC_NUMERIC, nullptr)) {
#if defined(__GLIBC__)
    std::filesystem::create_directories(folder_ / "comma");
    // Decimal point, thousands separator, grouping, both as wide characters, codeset.
    constexpr std::array<std::uint32_t, 8> header{
        0x20031115U ^ LC_NUMERIC, 6, 32, 34, 35, 36, 40, 44};
    constexpr char values[] = ",\0\0\x7f,\0\0\0\0\0\0\0UTF-8";
    std::ofstream(folder_ / "comma" / "LC_NUMERIC", std::ios::binary)
        .write(reinterpret_cast<const char*>(header.data()), sizeof header)
        .write(values, sizeof values);
    ::setenv("LOCPATH", folder_.path().c_str(), 1);
    std::setlocale(LC_NUMERIC, "comma");
    REQUIRE(std::localeconv()->decimal_point[0] == ',');
#else
    MESSAGE("skipped: no locale with a comma can be made here");
#endif
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;
  ~CommaLocale() {
    std::setlocale(LC_NUMERIC, before_.c_str());
    ::unsetenv("LOCPATH");
  }

 private:
  TemporaryFolder folder_;
  std::string before_;
};
