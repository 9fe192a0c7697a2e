// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/projected_weight.hpp>
#include <accrete/methods/registry.hpp>

#include <doctest/doctest.h>

using namespace method_test;
using accrete::GradientKind;
using accrete::MethodInfo;
using accrete::MethodOption;

namespace {

struct Shape {
  Index rows, cols, layer;
};
constexpr Shape shapes[] = {{12, 8, 0}, {8, 12, 1}, {10, 10, 1}};

std::unique_ptr<Weight> make(const MethodInfo& info, const MethodSettings& settings,
                             const Shape& shape) {
  return method_test::make(info.description.name, settings, shape.rows, shape.cols, {},
                           shape.layer);
}

/// Calls test(info, settings, shape) for every method of the registry.
template <class Test>
void for_each_weight(const Test& test) {
  for (const MethodInfo& info : accrete::methods()) {
    for (const Shape& shape : shapes) {
      CAPTURE(std::string(info.description.name));
      CAPTURE(shape.rows);
      CAPTURE(shape.cols);
      test(info, accrete::detail::frequent_settings(info.options, 5), shape);
    }
  }
}

void train_some(Weight& weight, const Shape& shape, int first, int last, double rate = 1e-2) {
  for (int i = first; i < last; ++i) {
    train(weight, Batch(shape.rows, shape.cols, 16, static_cast<unsigned>(50 + i)),
          step_info(i, rate, 40));
  }
}

/// The derivatives of loss(values) by every entry, from fourth-order differences.
template <class Loss>
Mat differences(const Mat& values, const Loss& loss) {
  Mat result(values.rows(), values.cols());
  const double h = 1e-3;
  for (Index i = 0; i < values.size(); ++i) {
    const auto at = [&](double offset) {
      Mat moved = values;
      moved.data()[i] += offset;
      return loss(moved);
    };
    result.data()[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  }
  return result;
}

/// The derivative of the loss by every entry of a parameter.
Mat numeric_gradient(Weight& weight, const std::string& name, const Batch& batch) {
  const Mat kept = parameters_of(weight).at(name);
  const Mat result = differences(kept, [&](const Mat& moved) {
    set_parameter(weight, name, moved);
    return batch.loss(forward(weight, batch));
  });
  set_parameter(weight, name, kept);
  return result;
}

} // namespace

TEST_CASE("methods: gradients are those of finite differences") {
  for_each_weight([](const MethodInfo& info, const MethodSettings& settings, const Shape& shape) {
    for (const int steps : {3, 17}) { // early, and after what happens now and then
      const auto weight = make(info, settings, shape);
      train_some(*weight, shape, 0, steps);
      const Batch batch(shape.rows, shape.cols, 5, 3);
      accrete::zero_gradients(*weight);
      const Passes passes = accumulate(*weight, batch);
      const auto gradients = gradients_of(*weight);
      std::vector<std::string> exact, projected;
      weight->visit_parameters([&](const Parameter& p) {
        if (p.is_trained() && p.kind != GradientKind::modified) {
          (p.kind == GradientKind::exact ? exact : projected).emplace_back(p.name);
        }
      });
      for (const std::string& name : exact) {
        CAPTURE(name);
        CHECK(difference(gradients.at(name), numeric_gradient(*weight, name, batch)) < 1e-8);
      }
      for (const std::string& name : projected) {
        using Projected = accrete::ProjectedWeight<double, TestBackend>;
        const auto* basis = dynamic_cast<Projected*>(weight.get());
        REQUIRE(basis != nullptr);
        const Mat p = accrete::to_host(basis->basis());
        Mat g = numeric_gradient(*weight, name, batch);
        if (basis->is_on_outputs()) {
          g.transposeInPlace();
        }
        CHECK(difference(gradients.at(name), g * p) < 1e-8);
      }

      Batch moved = batch;
      const auto numeric = [&](const Mat& at, Mat& entries) {
        return differences(at, [&](const Mat& value) {
          entries = value;
          return moved.loss(forward(*weight, moved));
        });
      };
      CHECK(difference(passes.dx, numeric(batch.x, moved.x)) < 1e-8);
      moved = batch;
      if (weight->takes_previous_output()) {
        CHECK(difference(passes.dprevious, numeric(batch.previous, moved.previous)) < 1e-8);
      }
    }
  });
}

TEST_CASE("methods: gradients of batches add up") {
  for_each_weight([](const MethodInfo& info, const MethodSettings& settings, const Shape& shape) {
    const auto weight = make(info, settings, shape);
    train_some(*weight, shape, 0, 3);
    const Batch batch(shape.rows, shape.cols, 5, 3);
    backward(*weight, batch);
    const auto once = gradients_of(*weight);
    accumulate(*weight, batch);
    for (const auto& entry : gradients_of(*weight)) {
      CAPTURE(entry.first);
      CHECK(difference(entry.second, 2 * once.at(entry.first)) < 1e-12);
    }
  });
}

TEST_CASE("methods: passes with a bias are those without and the bias") {
  for_each_weight([](const MethodInfo& info, const MethodSettings& settings, const Shape& shape) {
    const auto weight = make(info, settings, shape);
    train_some(*weight, shape, 0, 3);
    const Batch batch(shape.rows, shape.cols, 5, 3);
    const auto x = on_backend(batch.x);
    const auto dy = on_backend(batch.target);
    const Mat bias = random_matrix(shape.rows, 1, 9);
    Stored<double> y(shape.rows, 5), dx(shape.cols, 5);
    const auto passes = [&](bool with_bias) {
      accrete::zero_gradients(*weight);
      const auto vector = on_backend(bias);
      auto bias_gradient = on_backend(bias);
      if (with_bias) {
        weight->forward_with_bias(x, accrete::view_of(vector), y);
        weight->backward_with_bias(x, dy, dx, accrete::view_of(bias_gradient));
      } else {
        weight->forward(x, y);
        weight->backward(x, dy, dx);
      }
      return Mat(accrete::to_host(bias_gradient));
    };
    passes(false);
    const Mat expected_y = Mat(accrete::to_host(y)).colwise() + bias.col(0);
    const Mat expected_dx = accrete::to_host(dx);
    const auto expected = gradients_of(*weight);
    const Mat bias_gradient = passes(true);
    CHECK(difference(bias_gradient, bias + batch.target.rowwise().sum()) < 1e-14);
    CHECK(difference(accrete::to_host(y), expected_y) < 1e-14);
    CHECK(difference(accrete::to_host(dx), expected_dx) < 1e-14);
    for (const auto& entry : gradients_of(*weight)) {
      CAPTURE(entry.first);
      CHECK(difference(entry.second, expected.at(entry.first)) < 1e-14);
    }
    if constexpr (accrete::is_host_backend<TestBackend>) {
      CHECK(Mat(accrete::to_host(y)) == expected_y);
    }
  });
}

TEST_CASE("methods: the loss on one batch falls") {
  for_each_weight([](const MethodInfo& info, const MethodSettings& settings, const Shape& shape) {
    const auto weight = make(info, settings, shape);
    const Batch batch(shape.rows, shape.cols, 16, 11);
    const double first = backward(*weight, batch);
    for (int i = 0; i < 60; ++i) {
      train(*weight, batch, step_info(i, 2e-2, 60));
    }
    CHECK(backward(*weight, batch) < 0.97 * first);
  });
}

TEST_CASE("methods: a weight stops and goes on bit for bit") {
  for_each_weight([](const MethodInfo& info, const MethodSettings& settings, const Shape& shape) {
    for (const int steps : {3, 13}) {
      const auto weight = make(info, settings, shape);
      train_some(*weight, shape, 0, steps);
      Snapshot kept(*weight);
      const auto resumed = make(info, settings, shape);
      kept.restore(*resumed);
      train_some(*weight, shape, steps, steps + 12);
      train_some(*resumed, shape, steps, steps + 12);
      CHECK(parameters_of(*weight) == parameters_of(*resumed));
      CHECK(weight->rank().rank == resumed->rank().rank);
    }
  });
}

TEST_CASE("methods: ranks stay within their bounds and are what is stored") {
  for_each_weight([](const MethodInfo& info, const MethodSettings& settings, const Shape& shape) {
    const auto weight = make(info, settings, shape);
    for (int i = 0; i < 20; ++i) {
      train_some(*weight, shape, i, i + 1);
      const auto rank = weight->rank();
      CHECK(rank.rank >= 0);
      CHECK(rank.rank <= rank.columns);
      CHECK(rank.columns <= std::min(shape.rows, shape.cols));
      const auto parameters = parameters_of(*weight);
      const auto u = parameters.find("weight_u");
      if (u != parameters.end()) {
        CHECK(u->second.cols() == rank.columns);
      }
      CHECK(weight->rows() == shape.rows);
      CHECK(weight->cols() == shape.cols);
      CHECK(weight->flops() > 0);
    }
  });
}

TEST_CASE("methods: a learning rate of zero, or a gradient of zero, makes no NaN") {
  for_each_weight([](const MethodInfo& info, const MethodSettings& settings, const Shape& shape) {
    const auto weight = make(info, settings, shape);
    train_some(*weight, shape, 0, 12, 0.0);
    for (int i = 12; i < 24; ++i) { // at the minimum
      Batch batch(shape.rows, shape.cols, 4, 9);
      batch.target = forward(*weight, batch);
      train(*weight, batch, step_info(i));
    }
    for (const auto& entry : parameters_of(*weight)) {
      CAPTURE(entry.first);
      CHECK(entry.second.allFinite());
    }
    CHECK(dense_of(*weight).allFinite());
  });
}

TEST_CASE("methods: options outside their domain are refused by name") {
  for (const MethodInfo& info : accrete::methods()) {
    const std::string name = info.description.name;
    CAPTURE(name);
    const auto refuses = [&](const MethodSettings& settings, const std::string& option) {
      CAPTURE(option);
      try {
        (void)make(name, settings, 12, 8);
        FAIL_CHECK("accepted");
      } catch (const accrete::ArgumentError& error) {
        CHECK(std::string(error.what()).find(option) != std::string::npos);
      }
    };
    refuses({{"no-such-option", true}}, "no-such-option");
    for (const MethodOption& option : info.options) {
      CHECK_FALSE(option.help.empty());
      if (std::holds_alternative<std::string>(option.value)) {
        refuses({{option.name, std::string("no such word")}}, option.name);
        for (const std::string& word : option.words) {
          CHECK(make(name, {{option.name, word}}, 12, 8) != nullptr);
        }
      } else {
        refuses({{option.name, std::string("a word")}}, option.name);
      }
      if (std::holds_alternative<std::int64_t>(option.value)) {
        refuses({{option.name, static_cast<std::int64_t>(option.least) - 1}}, option.name);
        refuses({{option.name, static_cast<std::int64_t>(option.most) + 1}}, option.name);
      }
      if (std::holds_alternative<double>(option.value)) {
        refuses({{option.name, option.least - 1}}, option.name);
        refuses({{option.name, std::nan("")}}, option.name);
      }
      if (option.name == "rank") {
        CHECK_THROWS_AS((void)make(name, {{"rank", std::int64_t{9}}}, 12, 8), accrete::RankError);
        CHECK(make(name, {{"rank", std::int64_t{3}}}, 12, 8)->rank().columns <= 8);
      }
    }
  }
  CHECK_THROWS_AS((void)make("no such method", {}, 12, 8), accrete::ArgumentError);
}

TEST_CASE("methods: names and sources are there, and each name once") {
  std::map<std::string, int> names;
  for (const MethodInfo& info : accrete::methods()) {
    CHECK(std::string(info.description.source).size() > 10);
    CHECK(std::string(info.description.summary).size() > 3);
    CHECK(++names[info.description.name] == 1);
  }
}
