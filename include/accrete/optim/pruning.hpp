// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/finite.hpp>
#include <accrete/number_text.hpp>

#include <cstdint>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Which entries of an optimizer's state are forgotten (ReLoRA: Lialin et al., ICLR 2024, prunes
/// 90 % and more at each restart).
struct Pruning {
  enum class By : unsigned char {
    /// The smallest absolute values of the first moment; of equal ones those in front.
    magnitude,
    /// A choice that depends on the seed and the shape alone.
    random
  };

  /// Share of the entries, rounded to a whole number of them; in [0, 1].
  double fraction = 0.9;
  By by = By::magnitude;
  std::uint64_t seed = 0;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    if (!detail::is_within(fraction, 0, 1)) {
      ACCRETE_THROW ArgumentError("Pruning: fraction = " + detail::number_text(fraction) +
                                  " must lie in [0, 1]");
    }
  }
};

ACCRETE_END_NAMESPACE
