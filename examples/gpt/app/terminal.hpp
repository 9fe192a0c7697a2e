// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/ioctl.h>
#include <unistd.h>

namespace gpt {

/// printf into a string.
template <class... Arguments>
[[nodiscard]] std::string text_of(const char* format, Arguments... arguments) {
  char text[256];
  std::snprintf(text, sizeof text, format, arguments...);
  return text;
}

/// 1234567 as "1,234,567".
[[nodiscard]] inline std::string grouped(double value) {
  const std::string digits = text_of("%.0f", std::abs(value));
  std::string text(value < 0 ? "-" : "");
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) {
      text.push_back(',');
    }
    text.push_back(digits[i]);
  }
  return text;
}

/// Seconds as "42s", "3m05s" or "2h07m".
[[nodiscard]] inline std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) {
    return text_of("%lds", whole);
  }
  if (whole < 3600) {
    return text_of("%ldm%02lds", whole / 60, whole % 60);
  }
  return text_of("%ldh%02ldm", whole / 3600, whole / 60 % 60);
}

[[nodiscard]] inline std::string memory_text(double bytes) {
  return text_of("%.1f MiB", bytes / (1024.0 * 1024.0));
}

/// Running mean that forgets with weight 0.95 a value, unbiased from the first value on.
class SmoothedMean {
 public:
  void add(double value) {
    sum_ = 0.95 * sum_ + 0.05 * value;
    weight_ = 0.95 * weight_ + 0.05;
  }
  [[nodiscard]] double value() const noexcept { return weight_ > 0 ? sum_ / weight_ : 0; }

 private:
  double sum_ = 0;
  double weight_ = 0;
};

/// Standard output: one line rewritten in place on a terminal, plain lines elsewhere.
class ProgressDisplay {
 public:
  [[nodiscard]] bool is_live() const noexcept { return live_; }

  /// Replaces the live line.
  void update(const std::string& line) {
    if (!live_) {
      return;
    }
    std::printf("\r%.*s\033[K", width(), line.c_str());
    std::fflush(stdout);
    shown_ = true;
  }

  /// A line that stays.
  void print(const std::string& line) {
    if (shown_) {
      std::printf("\r\033[K");
    }
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    shown_ = false;
  }

  /// Ends the live line, so that other output starts on a line of its own.
  void finish() {
    if (shown_) {
      std::printf("\n");
    }
    std::fflush(stdout);
    shown_ = false;
  }

 private:
  static int width() {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? size.ws_col - 1 : 79;
  }

  bool live_ = ::isatty(STDOUT_FILENO) == 1;
  bool shown_ = false;
};

/// Notes the first SIGINT or SIGTERM while it lives; a second one ends the program as usual.
class InterruptGuard {
 public:
  InterruptGuard() {
    requested_ = 0;
    struct sigaction action{};
    action.sa_handler = [](int) { requested_ = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
    ::sigaction(SIGINT, &action, &interrupt_);
    ::sigaction(SIGTERM, &action, &terminate_);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGTERM, &terminate_, nullptr);
  }

  [[nodiscard]] static bool requested() noexcept { return requested_ != 0; }

 private:
  static inline volatile std::sig_atomic_t requested_ = 0;
  struct sigaction interrupt_{};
  struct sigaction terminate_{};
};

} // namespace gpt
