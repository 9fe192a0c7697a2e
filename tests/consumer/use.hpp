// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>

#include <Eigen/Dense>

#include <string>

#define CONSUMER_TEXT_(x) #x
#define CONSUMER_TEXT(x) CONSUMER_TEXT_(x)

// Static: each translation unit has its own configuration.
static const char* configuration() { return CONSUMER_TEXT(ACCRETE_ABI_NAMESPACE); }

static double use_accrete() {
  Eigen::MatrixXd a = Eigen::MatrixXd::Constant(2, 3, 7.0);
  return accrete::view_of(a).transposed()(2, 1);
}
