// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/dense_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

ACCRETE_BEGIN_NAMESPACE

struct FullRankOptions {
  template <class Visitor>
  void visit(Visitor& /*visitor*/) {}
};

/// A dense matrix from N(0, deviation²), trained by AdamW: what every method is compared with.
template <class Scalar, class Backend = Cpu>
class FullRankWeight : public DenseWeight<Scalar, Backend> {
 public:
  FullRankWeight(const WeightPlace& place, const FullRankOptions& /*options*/,
                 const AdamWOptions& optimizer)
      : DenseWeight<Scalar, Backend>(detail::dense_start<Scalar, Backend>(place), optimizer) {}
};

struct FullRank {
  static constexpr MethodDescription description{
      "full", "Full rank",
      "Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019", "a dense matrix",
      LayerSet::none};
  using Options = FullRankOptions;
  template <class Scalar, class Backend>
  using Weight = FullRankWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
