// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/plain_array.hpp>
#include <accrete/config.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Times the same calls in each of several passes. Whatever else the machine does disturbs some
/// milliseconds at a time: rounds of one call lie seconds apart.
class RoundTimer {
 public:
  static constexpr std::size_t passes = 3;

  /// Whether a round begins with a call that does not count.
  explicit RoundTimer(bool warm_up) : warm_up_(warm_up) {}

  /// Of the passes, counted from zero; each makes the same calls in the same order.
  void begin_pass(std::size_t pass) noexcept {
    pass_ = pass;
    next_ = 0;
  }

  /// Seconds of one call: the lower median of its rounds so far, since disturbances only add.
  template <class Call>
  double seconds(const Call& call) {
    if (next_ == rounds_.size()) {
      rounds_.push({});
    }
    Rounds& rounds = rounds_[next_++];
    const bool settled = rounds.count >= 2 && rounds.seconds[1] < 1.1 * rounds.seconds[0];
    if (pass_ < 2 || !settled) {
      make_rounds(rounds, call);
    }
    return rounds.seconds[(rounds.count - 1) / 2];
  }

 private:
  struct Rounds {
    std::array<double, 2 * passes> seconds{}; ///< in ascending order
    std::size_t count = 0;

    void add(double value) {
      seconds[count++] = value;
      std::sort(seconds.begin(), seconds.begin() + count);
    }
  };

  template <class Call>
  void make_rounds(Rounds& rounds, const Call& call) const {
    constexpr double round_seconds = 1e-4; // long enough for the clock
    if (warm_up_) {
      call();
    }
    const double first = seconds_of(1, call);
    if (first > 10 * round_seconds) {
      rounds.add(first);
      return;
    }
    const double warm = seconds_of(1, call);
    const auto count = static_cast<Index>(std::clamp(round_seconds / warm, 1.0, 1e4));
    rounds.add(seconds_of(count, call));
    rounds.add(seconds_of(count, call));
  }
  template <class Call>
  static double seconds_of(Index count, const Call& call) {
    const auto start = std::chrono::steady_clock::now();
    for (Index i = 0; i < count; ++i) {
      call();
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return (std::max)(elapsed.count(), 1e-9) / static_cast<double>(count);
  }

  PlainArray<Rounds> rounds_; ///< of each call that is timed
  Index next_ = 0;
  std::size_t pass_ = 0;
  bool warm_up_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
