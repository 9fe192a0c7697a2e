// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/finite.hpp>
#include <accrete/number_text.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// nanoGPT's schedule: linear warm-up to the peak, then half a cosine down to the floor.
struct CosineScheduleOptions {
  double peak = 1e-3;
  double floor = 1e-4;
  std::int64_t warmup = 100;        ///< steps of linear growth to the peak
  std::int64_t decay_steps = 2000;  ///< step at which the cosine reaches the floor
  std::int64_t restart_warmup = 50; ///< steps of linear growth after a restart

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](bool holds, const char* name, double value) {
      if (!holds) {
        ACCRETE_THROW ArgumentError(std::string("CosineSchedule: ") + name + " = " +
                                    detail::number_text(value) + " must not be negative");
      }
    };
    require(detail::is_finite(peak) && peak >= 0, "peak", peak);
    require(detail::is_finite(floor) && floor >= 0, "floor", floor);
    require(warmup >= 0, "warmup", static_cast<double>(warmup));
    require(decay_steps >= 0, "decay_steps", static_cast<double>(decay_steps));
    require(restart_warmup >= 0, "restart_warmup", static_cast<double>(restart_warmup));
  }
};

/// A learning rate that reacts: after restart() it grows again from near zero to where the cosine
/// then is, which makes the jagged cosine of ReLoRA (Lialin et al., ICLR 2024). To be called where
/// an optimizer has forgotten its state.
class CosineSchedule {
 public:
  CosineSchedule() = default;
  /// @throws ArgumentError for options outside their domain.
  explicit CosineSchedule(const CosineScheduleOptions& options) : options_(options) {
    options_.validate();
  }

  [[nodiscard]] const CosineScheduleOptions& options() const noexcept { return options_; }

  /// Rate of the step that follows `step` others.
  [[nodiscard]] double at(std::int64_t step) const {
    const std::int64_t since = step - restarted_at_;
    if (restarted_at_ > 0 && since >= 0 && since < options_.restart_warmup) {
      return smooth(restarted_at_ + options_.restart_warmup) * part(since, options_.restart_warmup);
    }
    return smooth(step);
  }

  /// Warms up anew from the step that follows `step` others; during the first warm-up that goes on.
  void restart(std::int64_t step) noexcept {
    if (step > options_.warmup) {
      restarted_at_ = step;
    }
  }

  /// The last restart, 0 before the first: what a checkpoint stores.
  [[nodiscard]] std::int64_t& restarted_at() noexcept { return restarted_at_; }

 private:
  static double part(std::int64_t step, std::int64_t steps) {
    return static_cast<double>(step + 1) / static_cast<double>(steps + 1);
  }

  /// Without restarts.
  [[nodiscard]] double smooth(std::int64_t step) const {
    if (step < options_.warmup) {
      return options_.peak * part(step, options_.warmup);
    }
    if (step >= options_.decay_steps) {
      return options_.floor;
    }
    const double progress = static_cast<double>(step - options_.warmup) /
                            static_cast<double>(options_.decay_steps - options_.warmup);
    return options_.floor +
           (options_.peak - options_.floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }

  CosineScheduleOptions options_;
  std::int64_t restarted_at_ = 0;
};

ACCRETE_END_NAMESPACE
