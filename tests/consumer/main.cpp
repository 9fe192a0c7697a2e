// SPDX-License-Identifier: MIT
#include "use.hpp"

const char* other_configuration();
double other_sum();

int main() {
  if (use_accrete() != 7.0) {
    return 1;
  }
#ifdef CONSUMER_HAS_OTHER
  if (other_sum() != 7.0) {
    return 2;
  }
#ifdef CONSUMER_PROVIDERS_DIFFER
  const bool expect_same = false;
#else
  const bool expect_same = true;
#endif
  if ((std::string(configuration()) == other_configuration()) != expect_same) {
    return 3;
  }
#endif
  return 0;
}
