// SPDX-License-Identifier: MIT
#include "app/method_options.hpp"
#include "tests/app_process.hpp"

#include <string>

using namespace gpt::test;

TEST_CASE("program: every method trains with every one of its options") {
  const Fixture f;
  const Result list = run({"methods"});
  REQUIRE(list.status == 0);
  for (const gpt::MethodEntry& method : gpt::method_entries()) {
    const std::string name = method.description.name;
    CAPTURE(name);
    CHECK(contains(list.output, method.description.source));
    Arguments arguments = f.train({"--method", name, "--steps", "2"});
    for (const accrete::MethodOption& option : method.options) {
      arguments =
          arguments + Arguments{"--method." + option.name, gpt::text_of_value(option.value)};
    }
    const Result result = run(arguments);
    CHECK_MESSAGE(result.status == 0, result.errors);
  }
}
