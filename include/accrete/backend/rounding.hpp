// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// How many parts of `unit` hold `count`.
constexpr Index ceil_div(Index count, Index unit) noexcept { return (count + unit - 1) / unit; }
/// The least multiple of `unit` that is not below `count`.
constexpr Index round_up(Index count, Index unit) noexcept { return ceil_div(count, unit) * unit; }

} // namespace detail

ACCRETE_END_NAMESPACE
