// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <clocale>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

/// While it lives, printf writes 1,5 and strtod reads it: a locale of its own, so that the test
/// does not depend on those that are installed. In the file format of glibc; elsewhere not
/// active().
class CommaLocale {
 public:
  CommaLocale()
      : folder_(std::filesystem::temp_directory_path() /
                ("accrete_locale_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))),
        before_(std::setlocale(LC_NUMERIC, nullptr)) {
#if defined(__GLIBC__)
    std::filesystem::create_directories(folder_ / "comma");
    // Decimal point, thousands separator, grouping, both as wide characters, codeset.
    constexpr std::array<std::uint32_t, 8> header{
        0x20031115U ^ LC_NUMERIC, 6, 32, 34, 35, 36, 40, 44};
    constexpr char values[] = ",\0\0\x7f,\0\0\0\0\0\0\0UTF-8";
    std::ofstream(folder_ / "comma" / "LC_NUMERIC", std::ios::binary)
        .write(reinterpret_cast<const char*>(header.data()), sizeof header)
        .write(values, sizeof values);
    ::setenv("LOCPATH", folder_.c_str(), 1);
    std::setlocale(LC_NUMERIC, "comma");
#endif
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;
  ~CommaLocale() {
    std::setlocale(LC_NUMERIC, before_.c_str());
    ::unsetenv("LOCPATH");
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] static bool active() { return std::localeconv()->decimal_point[0] == ','; }

 private:
  std::filesystem::path folder_;
  std::string before_;
};
