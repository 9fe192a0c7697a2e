// SPDX-License-Identifier: MIT
// What each method keeps, against the formulas of its paper.
#include "methods/method_support.hpp"

#include <accrete/methods/memory.hpp>
#include <accrete/methods/registry.hpp>

#include <doctest/doctest.h>

#include <functional>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <malloc.h>
#define ACCRETE_TEST_COUNTS_BYTES
#endif

using namespace method_test;
using accrete::WeightMemory;

namespace {

/// Of an m x n weight of rank r: s and l are the shorter and the longer side, f = (m + n) r.
struct Sizes {
  Index m, n, r, s, l, f;
};
using Formula = std::function<WeightMemory(const Sizes&)>;

/// Everything trained, with moments of AdamW.
WeightMemory with_moments(Index trained, Index frozen = 0) {
  return {frozen + trained, trained, 2 * trained};
}
WeightMemory dense(const Sizes& k) { return with_moments(k.m * k.n); }
WeightMemory factors(const Sizes& k) { return with_moments(k.f); }
WeightMemory update(const Sizes& k) { return with_moments(k.f, k.m * k.n); }
WeightMemory projected(const Sizes& k) { return {k.m * k.n, k.l * k.r, k.s * k.r + 2 * k.l * k.r}; }
WeightMemory diagonal_core(const Sizes& k) { return with_moments(k.f + k.r); }

/// After all that a method does now and then, on a weight of the last of two layers.
const std::map<std::string, Formula> formulas{
    {"full", dense},
    {"low-rank", factors},
    {"factorised", factors},
    {"attention-low-rank", factors},
    {"glrl", factors},
    {"inrank", update},
    {"inrank-efficient", factors},
    {"lora", update},
    {"dora", [](const Sizes& k) { return with_moments(k.f + k.m, k.m * k.n); }},
    {"relora", update},
    {"switchlora", // and the candidates, min(m, n) - r of each side
     [](const Sizes& k) {
       return WeightMemory{k.m * k.n + k.f, k.f, 2 * k.f + (k.m + k.n) * (k.s - k.r)};
     }},
    {"galore", projected},
    {"fira",
     [](const Sizes& k) { return WeightMemory{k.m * k.n, k.m * k.n, k.s * k.r + 2 * k.l * k.r}; }},
    {"adarankgrad", projected},
    {"apollo", [](const Sizes& k) { return WeightMemory{k.m * k.n, k.m * k.n, 2 * k.l * k.r}; }},
    {"apollo-mini",
     [](const Sizes& k) { return WeightMemory{k.m * k.n, k.m * k.n, 2 * k.l * k.r}; }},
    {"ldadam", // and the error that is fed back
     [](const Sizes& k) {
       return WeightMemory{k.m * k.n, k.m * k.n, k.m * k.n + k.s * k.r + 2 * k.l * k.r};
     }},
    {"sst", // all of the SVD; all of σ and six directions trained at a time
     [](const Sizes& k) {
       const Index trained = 6 * (k.m + k.n) + k.s;
       return WeightMemory{k.s * (k.m + k.n + 1), trained, 2 * trained};
     }},
    {"oialr", [](const Sizes& k) { return with_moments(k.r * k.r, k.f); }},
    {"dlrt", [](const Sizes& k) { return WeightMemory{k.f + k.r * k.r, k.f + k.r * k.r, 0}; }},
    {"loro", factors},
    {"spectron", // one moment, and the leading right vectors of both factors
     [](const Sizes& k) { return WeightMemory{k.f, k.f, k.f + 2 * k.r}; }},
    {"lora-muon", [](const Sizes& k) { return WeightMemory{k.f, k.f, k.f}; }},
    {"cola", factors},
    {"cr-net", [](const Sizes& k) { return with_moments(k.f + 1); }},
    {"welore", [](const Sizes& k) { return k.r > 0 ? factors(k) : WeightMemory{k.m * k.n, 0, 0}; }},
    {"ffsplit", // a tenth of the neurons stays dense
     [](const Sizes& k) { return with_moments(k.f + k.s * (k.l / 10)); }},
    {"dynamic-rank", factors},
    {"sltrain", [](const Sizes& k) { return with_moments(k.f + k.m * k.n * 3 / 100 + 1); }},
    {"compressed", [](const Sizes& k) { return with_moments(k.f + k.r * k.r); }},
    {"powerpropagation", diagonal_core},
    {"mest", diagonal_core},
    {"extrapolated", [](const Sizes& k) { return WeightMemory{k.f, k.f, 3 * k.f}; }},
};

MethodSettings settings_of(const accrete::MethodInfo& info, Index rank) {
  MethodSettings settings = accrete::detail::frequent_settings(info.options, 5);
  for (const accrete::MethodOption& option : info.options) {
    if (option.name == "rank") {
      settings["rank"] = std::int64_t{rank};
    }
  }
  return settings;
}

std::unique_ptr<Weight> trained(const accrete::MethodInfo& info, Index rows, Index cols, Index rank,
                                Index samples) {
  auto weight = make(info.description.name, settings_of(info, rank), rows, cols, {}, 1);
  for (int i = 0; i < 40; ++i) {
    train(*weight, Batch(rows, cols, samples, static_cast<unsigned>(50 + i)),
          step_info(i, 1e-2, 40));
  }
  return weight;
}

} // namespace

TEST_CASE("methods: a weight keeps what the formula of its method says") {
  for (const accrete::MethodInfo& info : accrete::methods()) {
    CAPTURE(std::string(info.description.name));
    const auto formula = formulas.find(info.description.name);
    REQUIRE(formula != formulas.end());
    for (const auto& [m, n] : {std::pair<Index, Index>{24, 40}, {40, 24}}) {
      CAPTURE(m);
      const auto weight = trained(info, m, n, 6, 16);
      const Index r = weight->rank().columns;
      const WeightMemory kept = memory_of(*weight);
      const WeightMemory expected =
          formula->second({m, n, r, std::min(m, n), std::max(m, n), (m + n) * r});
      CHECK(kept.parameters == expected.parameters);
      CHECK(kept.gradients == expected.gradients);
      CHECK(kept.state == expected.state);
    }
  }
  CHECK(formulas.size() == accrete::methods().size());
}

#ifdef ACCRETE_TEST_COUNTS_BYTES
namespace {

/// What a method holds beside what it keeps, with the letters of `formulas`.
Index room_of(const std::string& method, const Sizes& k) {
  if (method == "fira" || method == "apollo" || method == "apollo-mini" || method == "ldadam") {
    return 2 * k.l * k.r + k.s * k.r; // the projected gradient, its direction, and the next basis
  }
  if (method == "dlrt") { // room to double the bases, and cores
    return k.f + 12 * k.r * k.r;
  }
  return method == "sltrain" ? k.m * k.n * 3 / 100 + 1 : 0; // where the entries are
}

} // namespace

TEST_CASE("methods: beside that a weight holds no memory that its method does not name") {
  if constexpr (accrete::is_host_backend<TestBackend>) {
    const auto used = [] {
      const auto info = ::mallinfo2();
      return info.uordblks + info.hblkhd;
    };
    constexpr Index m = 96, n = 160, r = 12, samples = 1;
    constexpr std::size_t of_the_heap = 8 << 10; // what malloc keeps of small blocks
    static_assert(of_the_heap < m * r * sizeof(double), "r columns are to be noticed");
    for (const accrete::MethodInfo& info : accrete::methods()) {
      const std::string name = info.description.name;
      CAPTURE(name);
      auto weight = trained(info, m, n, r, samples);
      const Index kept = memory_of(*weight).total();
      const Index room = room_of(name, {m, n, r, m, n, (m + n) * r});
      const std::size_t before = used();
      weight.reset();
      const std::size_t held = before - used();
      CHECK(held + of_the_heap >= static_cast<std::size_t>(kept) * sizeof(double));
      CHECK(held <= static_cast<std::size_t>(kept + room) * sizeof(double) + of_the_heap);
    }
  }
}
#endif
