// SPDX-License-Identifier: MIT
// What every consumer evaluates, and the numbers by hand.
#pragma once

#include <accrete/accrete.hpp>

#include <cmath>
#include <cstdio>
#include <string>

#define CONSUMER_TEXT_(x) #x
#define CONSUMER_TEXT(x) CONSUMER_TEXT_(x)

// Static: each translation unit has its own.
static bool holds(bool condition, const char* text) {
  if (!condition) {
    std::printf("wrong in %s: %s\n", CONSUMER_TEXT(ACCRETE_ABI_NAMESPACE), text);
  }
  return condition;
}
#define CONSUMER_HOLDS(condition) ok = holds(condition, #condition) && ok

/// Small integers, so that every order of summation and every instruction set gives the same.
static Eigen::MatrixXf small_integers(int rows, int cols, int seed) {
  Eigen::MatrixXf result(rows, cols);
  for (int j = 0; j < cols; ++j) {
    for (int i = 0; i < rows; ++i) {
      result(i, j) = static_cast<float>((7 * i + 5 * j + 3 * i * j + seed) % 11 - 5);
    }
  }
  return result;
}

static Eigen::MatrixXf product_by_hand(const Eigen::MatrixXf& a, const Eigen::MatrixXf& b) {
  Eigen::MatrixXf result(a.rows(), b.cols());
  for (int i = 0; i < a.rows(); ++i) {
    for (int j = 0; j < b.cols(); ++j) {
      float sum = 0;
      for (int k = 0; k < a.cols(); ++k) {
        sum += a(i, k) * b(k, j);
      }
      result(i, j) = sum;
    }
  }
  return result;
}

/// A further translation unit of the program, told apart by its compiler flags.
struct Unit {
  const char* name;
  const char* configuration;
  bool (*is_right)();
};
void add(const Unit& unit);

/// Products and singular values of one translation unit.
static bool numbers_are_right() {
  namespace ac = accrete;
  bool ok = true;

  const Eigen::MatrixXf base = small_integers(70, 50, 1);
  const Eigen::MatrixXf u = small_integers(70, 3, 2);
  const Eigen::MatrixXf v = small_integers(50, 3, 3);
  const Eigen::MatrixXf x = small_integers(50, 40, 4);
  const Eigen::MatrixXf right =
      product_by_hand(base, x) + product_by_hand(u, product_by_hand(v.transpose(), x));
  Eigen::MatrixXf y = (base + ac::outer(u, v)) * x;
  CONSUMER_HOLDS(y == right);
  y -= 2.0F * (base + ac::outer(u, v)) * x;
  CONSUMER_HOLDS(y == -right);

  // The squares of the singular values are 45 and 5.
  Eigen::MatrixXf a(2, 2);
  a << 3, 0, 4, 5;
  const auto svd = ac::svd(a);
  CONSUMER_HOLDS(std::abs(svd.singular_values[0] - std::sqrt(45.0F)) < 1e-5F);
  CONSUMER_HOLDS(std::abs(svd.singular_values[1] - std::sqrt(5.0F)) < 1e-5F);
  return ok;
}
