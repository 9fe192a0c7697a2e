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

TEST_CASE("program: memory has a row for every method") {
  const Result result = run({"memory", "--rows", "24", "--cols", "40", "--rank", "6"});
  REQUIRE_MESSAGE(result.status == 0, result.errors);
  for (const gpt::MethodEntry& method : gpt::method_entries()) {
    CHECK_MESSAGE(contains(result.output, std::string("| ") + method.description.name + " |"),
                  result.output);
  }
  check_fails({"memory", "--rows", "24", "--cols", "40", "--rank", "25"}, 1, "rank 25");
  check_fails({"memory", "--rows", "0"}, 2, "--rows");
}
