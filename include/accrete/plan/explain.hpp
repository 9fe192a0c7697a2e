// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/assign.hpp>
#include <accrete/plan/plan_json.hpp>

#include <ostream>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// What `explain` found: the plan, and who would execute it.
struct Explanation {
  Plan plan;
  std::string backend;
  std::string provider; ///< library behind the products
  std::string scalar;
  int threads = 1;

  [[nodiscard]] std::string text() const {
    return backend + " (" + provider + ", " + std::to_string(threads) +
           (threads == 1 ? " thread), " : " threads), ") + scalar + ": " + plan.text();
  }
};

inline std::ostream& operator<<(std::ostream& out, const Explanation& explanation) {
  return out << explanation.text();
}

/// How the expression would be evaluated: association, kernels, FLOPs, bytes, temporaries and
/// predicted time. Computes nothing of the expression itself.
template <ExpressionNode Node>
[[nodiscard]] Explanation explain(Context<detail::backend_of<Node>>& context,
                                  const Node& expression) {
  using Scalar = typename Node::Stored;
  using Backend = detail::backend_of<Node>;
  return {plan(context, expression), Backend::name,
          detail::kernels_for<Backend, Scalar>::template product_provider<Scalar>(),
          sizeof(Scalar) == 2   ? "bfloat16"
          : sizeof(Scalar) == 4 ? "float"
                                : "double",
          context.threads()};
}
template <ExpressionNode Node>
[[nodiscard]] Explanation explain(const Node& expression) {
  return explain(Context<detail::backend_of<Node>>::current(), expression);
}

ACCRETE_END_NAMESPACE
