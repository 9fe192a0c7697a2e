// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/kernels.hpp>

#include <algorithm>
#include <vector>

/// Sizes of a product.
struct ProductSizes {
  accrete::Index rows, cols, inner;
};

/// What surrounds a threshold where a size is not made for it: square, long and thin in each
/// direction, and vectors.
inline const std::vector<ProductSizes> base_sizes = {
    {40, 40, 40}, {300, 3, 700}, {3, 300, 700}, {300, 70, 6},   {300, 500, 6},
    {6, 6, 3000}, {1500, 1, 70}, {1, 600, 70},  {600, 30, 600}, {260, 18, 520},
    {30, 3, 300}, {3, 30, 600},  {5, 5, 8}};

/// `base` with one of its sizes replaced by the least from which the threshold's quantity reaches
/// it, and by that size's neighbours; for each size on which it depends.
inline std::vector<accrete::detail::ProductShape>
shapes_around(const accrete::detail::Threshold& threshold,
              const accrete::detail::ProductShape& base) {
  using accrete::Index;
  using accrete::detail::ProductShape;
  std::vector<ProductShape> result;
  for (Index ProductShape::* size :
       {&ProductShape::rows, &ProductShape::cols, &ProductShape::inner}) {
    ProductShape shape = base;
    const auto quantity = [&](Index value) {
      shape.*size = value;
      return shape.of(threshold.quantity);
    };
    Index low = 0;
    Index high = Index{1} << 20; // more than any threshold needs
    if (quantity(low) >= threshold.value || quantity(high) < threshold.value) {
      continue;
    }
    while (high - low > 1) {
      const Index middle = low + (high - low) / 2;
      (quantity(middle) < threshold.value ? low : high) = middle;
    }
    for (const Index value : {low, high, high + 1}) {
      shape.*size = value;
      result.push_back(shape);
    }
  }
  return result;
}
