// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/plan/plan.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Plans by the type of the expression and the shapes of its operands, sorted by a hash of both. A
/// lookup allocates nothing.
class PlanCache {
 public:
  [[nodiscard]] const Plan* find(const void* type, std::span<const Index> shapes) const {
    const std::size_t key = hash(type, shapes);
    for (std::size_t i = lower_bound(key); i < entries_.size() && entries_[i].hash == key; ++i) {
      if (entries_[i].matches(type, shapes)) {
        return entries_[i].plan.get();
      }
    }
    return nullptr;
  }

  const Plan& insert(const void* type, std::span<const Index> shapes, Plan plan) {
    if (entries_.size() >= capacity) {
      entries_.clear();
    }
    Entry entry;
    entry.hash = hash(type, shapes);
    entry.type = type;
    entry.shapes.assign(shapes.begin(), shapes.end());
    entry.plan.reset(new Plan(static_cast<Plan&&>(plan)));
    const Plan& result = *entry.plan;
    const auto position = static_cast<std::ptrdiff_t>(lower_bound(entry.hash));
    entries_.insert(entries_.begin() + position, static_cast<Entry&&>(entry));
    return result;
  }

  void clear() { entries_.clear(); }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  // Bounds the memory of programs whose shapes never repeat.
  static constexpr std::size_t capacity = 4096;

  struct Entry {
    std::size_t hash = 0;
    const void* type = nullptr;
    std::vector<Index> shapes;
    std::unique_ptr<const Plan> plan;

    [[nodiscard]] bool matches(const void* wanted, std::span<const Index> sizes) const {
      if (type != wanted || shapes.size() != sizes.size()) {
        return false;
      }
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (shapes[i] != sizes[i]) {
          return false;
        }
      }
      return true;
    }
  };

  [[nodiscard]] std::size_t lower_bound(std::size_t key) const noexcept {
    std::size_t first = 0;
    std::size_t last = entries_.size();
    while (first < last) {
      const std::size_t middle = (first + last) / 2;
      if (entries_[middle].hash < key) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    return first;
  }

  static std::size_t hash(const void* type, std::span<const Index> shapes) noexcept {
    auto value = reinterpret_cast<std::size_t>(type);
    for (const Index size : shapes) {
      value = (value ^ static_cast<std::size_t>(size)) * 0x9E3779B97F4A7C15ULL;
      value ^= value >> 32;
    }
    return value;
  }

  std::vector<Entry> entries_;
};

} // namespace detail

/// What evaluations share: the backend's device (threads or streams, workspace), the cost model
/// and the plans made so far. One context belongs to one thread at a time.
template <class Backend = Cpu>
class Context {
 public:
  Context() : model_(new RooflineModel) {}
  explicit Context(std::shared_ptr<const CostModel> model) : model_(std::move(model)) {}

  [[nodiscard]] Device<Backend>& device() noexcept { return device_; }
  [[nodiscard]] const CostModel& cost_model() const noexcept { return *model_; }

  /// Replaces the cost model and forgets the plans made with the old one.
  void set_cost_model(std::shared_ptr<const CostModel> model) {
    model_ = std::move(model);
    plans_.clear();
  }
  /// Threads that the kernels of this context use. @throws ArgumentError when count < 1.
  void set_threads(int count) { device_.set_threads(count); }
  [[nodiscard]] int threads() const noexcept { return device_.threads(); }

  [[nodiscard]] detail::PlanCache& plans() noexcept { return plans_; }

  /// The context of this thread: its own default, or the one of the innermost ScopedContext.
  [[nodiscard]] static Context& current() {
    if (Context* scoped = override_pointer()) {
      return *scoped;
    }
    thread_local Context context;
    return context;
  }

 private:
  template <class>
  friend class ScopedContext;

  static Context*& override_pointer() noexcept {
    thread_local Context* pointer = nullptr;
    return pointer;
  }

  Device<Backend> device_;
  std::shared_ptr<const CostModel> model_;
  detail::PlanCache plans_;
};

/// Makes `context` the current one of this thread until the end of the scope.
template <class Backend>
class [[nodiscard]] ScopedContext {
 public:
  explicit ScopedContext(Context<Backend>& context)
      : before_(std::exchange(Context<Backend>::override_pointer(), &context)) {}
  ScopedContext(const ScopedContext&) = delete;
  ScopedContext& operator=(const ScopedContext&) = delete;
  ~ScopedContext() { Context<Backend>::override_pointer() = before_; }

 private:
  Context<Backend>* before_;
};

ACCRETE_END_NAMESPACE
