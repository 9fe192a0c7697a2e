// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/plain_array.hpp>
#include <accrete/plan/operands.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// A sum of terms. Lists run through `next`; -1 is none.
struct CanonicalSum {
  Index rows = 0;
  Index cols = 0;
  int first_term = -1;
  int last_term = -1;
};
/// A product of factors with coefficients.
struct CanonicalTerm {
  int first_factor = -1;
  int last_factor = -1;
  int first_coefficient = -1;
  int last_coefficient = -1;
  int next = -1;
};
/// An input of the plan, or a sum again.
struct CanonicalFactor {
  int input = -1;
  int sum = -1;
  int next = -1;
};
struct CanonicalCoefficient {
  int number = 0;
  int next = -1;
};

/// Sum of product chains: what every expression is reduced to before planning. Nested sums and
/// products are flattened, transposes stand at the inputs, coefficients at the terms.
class CanonicalForm {
 public:
  explicit CanonicalForm(const PlanningTask& task) : inputs_(*task.inputs) {
    PlainArray<int> sums; // the values that wait for their operation
    for (int i = 0; i < task.operation_count; ++i) {
      const int last = sums.empty() ? -1 : sums.back();
      switch (task.operations[i]) {
      case Operation::operand:
        sums.push(sum_of_input());
        break;
      case Operation::scale:
        scale(last);
        break;
      case Operation::add:
        sums.shrink(sums.size() - 1);
        add(sums.back(), last);
        break;
      case Operation::multiply:
        sums.shrink(sums.size() - 1);
        sums.back() = multiply(sums.back(), last);
        break;
      }
    }
    root_ = sums.back();
  }

  [[nodiscard]] int root() const noexcept { return root_; }
  [[nodiscard]] const PlanInput& input(int i) const noexcept { return inputs_[i]; }
  [[nodiscard]] const CanonicalSum& sum(int i) const noexcept { return sums_[i]; }
  [[nodiscard]] const CanonicalTerm& term(int i) const noexcept { return terms_[i]; }
  [[nodiscard]] const CanonicalFactor& factor(int i) const noexcept { return factors_[i]; }
  [[nodiscard]] const CanonicalCoefficient& coefficient(int i) const noexcept {
    return coefficients_[i];
  }

 private:
  int sum_of_term(Index rows, Index cols, const CanonicalTerm& term) {
    const int number = static_cast<int>(terms_.push(term));
    return static_cast<int>(sums_.push({rows, cols, number, number}));
  }
  int sum_of_input() {
    const PlanInput& input = inputs_[input_count_];
    const int factor = static_cast<int>(factors_.push({input_count_++, -1, -1}));
    return sum_of_term(input.rows, input.cols, {factor, factor, -1, -1, -1});
  }

  /// Every term gets a coefficient of the same number.
  void scale(int sum) {
    for (int i = sums_[sum].first_term; i >= 0; i = terms_[i].next) {
      CanonicalTerm& term = terms_[i];
      term.first_coefficient =
          static_cast<int>(coefficients_.push({coefficient_count_, term.first_coefficient}));
      if (term.last_coefficient < 0) {
        term.last_coefficient = term.first_coefficient;
      }
    }
    ++coefficient_count_;
  }

  void add(int left, int right) {
    terms_[sums_[left].last_term].next = sums_[right].first_term;
    sums_[left].last_term = sums_[right].last_term;
  }

  /// A sum as the only term of a product: its factors where it has one term, itself otherwise.
  [[nodiscard]] CanonicalTerm as_term(int sum) {
    const int term = sums_[sum].first_term;
    if (terms_[term].next < 0) {
      return terms_[term];
    }
    const int factor = static_cast<int>(factors_.push({-1, sum, -1}));
    return {factor, factor, -1, -1, -1};
  }

  int multiply(int left, int right) {
    CanonicalTerm product = as_term(left);
    const CanonicalTerm other = as_term(right);
    factors_[product.last_factor].next = other.first_factor;
    product.last_factor = other.last_factor;
    if (product.first_coefficient < 0) {
      product.first_coefficient = other.first_coefficient;
      product.last_coefficient = other.last_coefficient;
    } else if (other.first_coefficient >= 0) {
      coefficients_[product.last_coefficient].next = other.first_coefficient;
      product.last_coefficient = other.last_coefficient;
    }
    return sum_of_term(sums_[left].rows, sums_[right].cols, product);
  }

  const PlainArray<PlanInput>& inputs_;
  PlainArray<CanonicalSum> sums_;
  PlainArray<CanonicalTerm> terms_;
  PlainArray<CanonicalFactor> factors_;
  PlainArray<CanonicalCoefficient> coefficients_;
  int input_count_ = 0;
  int coefficient_count_ = 0;
  int root_ = -1;
};

} // namespace detail

ACCRETE_END_NAMESPACE
