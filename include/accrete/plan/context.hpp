// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/view.hpp>
#include <accrete/plan/operands.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Plans by the type of an expression, the shapes of its operands and which of them are the same: a
/// table of lists, found by a hash of type and shapes. A lookup allocates nothing.
class PlanCache {
 public:
  PlanCache() = default;
  PlanCache(const PlanCache&) = delete;
  PlanCache& operator=(const PlanCache&) = delete;
  ~PlanCache() { clear(); }

  template <class Stored, class Space>
  [[nodiscard]] const Plan* find(const GatheredExpression<Stored, Space>& expression,
                                 const Aliases& aliases) const noexcept {
    for (const Entry* entry = buckets_[bucket(expression)]; entry != nullptr; entry = entry->next) {
      if (entry->type == expression.type && fits(entry->plan, expression, aliases)) {
        return &entry->plan;
      }
    }
    return nullptr;
  }

  template <class Stored, class Space>
  const Plan& insert(const GatheredExpression<Stored, Space>& expression, Plan plan) {
    if (size_ >= capacity) {
      drop_oldest();
    }
    const std::size_t place = bucket(expression);
    auto* entry =
        new Entry{buckets_[place], nullptr, place, expression.type, static_cast<Plan&&>(plan)};
    buckets_[place] = entry;
    (size_ == 0 ? oldest_ : newest_->newer) = entry;
    newest_ = entry;
    ++size_;
    return entry->plan;
  }

  void clear() noexcept {
    for (Entry*& first : buckets_) {
      while (first != nullptr) {
        const Entry* entry = first;
        first = entry->next;
        delete entry;
      }
    }
    size_ = 0;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  // Bounds the memory of programs whose shapes never repeat. The oldest plan goes first, so that
  // each lives until as many others were made.
  static constexpr std::size_t capacity = 4096;
  static constexpr int bucket_bits = 9;
  static constexpr std::size_t bucket_count = std::size_t{1} << bucket_bits;

  struct Entry {
    Entry* next;  ///< of the same bucket
    Entry* newer; ///< made after this one
    std::size_t bucket;
    const void* type;
    Plan plan;
  };

  void drop_oldest() noexcept {
    Entry* const oldest = oldest_;
    Entry** link = &buckets_[oldest->bucket];
    while (*link != oldest) {
      link = &(*link)->next;
    }
    *link = oldest->next;
    oldest_ = oldest->newer;
    delete oldest;
    --size_;
  }

  template <class Stored, class Space>
  [[nodiscard]] static bool fits(const Plan& plan,
                                 const GatheredExpression<Stored, Space>& expression,
                                 const Aliases& aliases) noexcept {
    for (int i = 0; i < expression.operand_count; ++i) {
      const PlanInput& input = plan.inputs[i];
      const auto& operand = expression.operands[i];
      if (input.rows != operand.rows || input.cols != operand.cols ||
          input.order != operand.order || input.alias_of != aliases[i]) {
        return false;
      }
    }
    return true;
  }

  /// A polynomial of the shapes, whose terms need not wait for each other.
  template <class Stored, class Space>
  static std::size_t bucket(const GatheredExpression<Stored, Space>& expression) noexcept {
    constexpr std::uint64_t base = 0x9E3779B97F4A7C15U;
    auto value = reinterpret_cast<std::uintptr_t>(expression.type) * base;
    std::uint64_t factor = base;
    for (int i = 0; i < expression.operand_count; ++i) {
      const auto& operand = expression.operands[i];
      factor *= base;
      value += static_cast<std::uint64_t>(operand.rows) * factor;
      factor *= base;
      value += static_cast<std::uint64_t>(operand.cols) * factor;
    }
    return value >> (64 - bucket_bits);
  }

  Entry* buckets_[bucket_count] = {};
  Entry* oldest_ = nullptr;
  Entry* newest_ = nullptr;
  std::size_t size_ = 0;
};

} // namespace detail

/// What evaluations share: the backend's device (threads or streams, workspace), the cost model
/// and the plans made so far. One context belongs to one thread at a time.
template <class Backend = Cpu>
class Context {
 public:
  Context() : model_(default_model()) {}
  explicit Context(std::shared_ptr<const CostModel> model) : model_(std::move(model)) {}
  /// On a device of one's own, made with other streams, handles or memory than the default.
  explicit Context(Device<Backend> device, std::shared_ptr<const CostModel> model = default_model())
      : device_(std::move(device)), model_(std::move(model)) {}

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

  /// Waits for what the device was given, and throws what went wrong in it: a fault in a kernel is
  /// known only then. Nothing to do on a host, whose kernels return with their result.
  void check() {
    if constexpr (requires { device_.synchronize(); }) {
      device_.synchronize();
    }
  }

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

  static std::shared_ptr<const CostModel> default_model() {
    return std::make_shared<RooflineModel>(detail::default_rates<Backend>);
  }

  static Context*& override_pointer() noexcept {
    thread_local Context* pointer = nullptr;
    return pointer;
  }

  Device<Backend> device_;
  std::shared_ptr<const CostModel> model_;
  detail::PlanCache plans_;
};

/// Makes `context` the current one of this thread until the end of the scope. Where devices work in
/// streams of their own, each waits at the change for what the other has been given.
template <class Backend>
class [[nodiscard]] ScopedContext {
 public:
  explicit ScopedContext(Context<Backend>& context) : context_(context), scope_(context.device()) {
    if constexpr (has_streams) {
      context.device().wait_for(Context<Backend>::current().device());
    }
    before_ = std::exchange(Context<Backend>::override_pointer(), &context);
  }
  ScopedContext(const ScopedContext&) = delete;
  ScopedContext& operator=(const ScopedContext&) = delete;
  ~ScopedContext() {
    Context<Backend>::override_pointer() = before_;
    if constexpr (has_streams) {
      // What fails here fails again where the device is used next.
      ACCRETE_TRY { Context<Backend>::current().device().wait_for(context_.device()); }
      ACCRETE_CATCH(const Error&) {}
    }
  }

 private:
  static constexpr bool has_streams =
      requires(Device<Backend>& a, Device<Backend>& b) { a.wait_for(b); };

  Context<Backend>& context_;
  [[no_unique_address]] detail::ScopeOf<Backend> scope_;
  Context<Backend>* before_ = nullptr;
};

ACCRETE_END_NAMESPACE
