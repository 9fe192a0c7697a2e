// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>
#include <accrete/error.hpp>
#include <accrete/number_text.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// The value of a method's option. Enumerators are words.
using MethodValue = std::variant<bool, std::int64_t, double, std::string>;
/// The options of a method that are not to keep their defaults, by name.
using MethodSettings = std::map<std::string, MethodValue>;

/// One option, as a program offers it.
struct MethodOption {
  std::string name;
  std::string help;
  MethodValue value;              ///< default
  double least = 0, most = 0;     ///< of numbers
  std::vector<std::string> words; ///< of words
};

namespace detail {

/// No rank is larger than this, nor any number of steps.
inline constexpr Index most_rank = Index{1} << 20;
inline constexpr std::int64_t most_steps = 1'000'000'000'000;

/// Whatever happens every so many steps happens every `steps` steps, so that a short run sees all
/// of a method. A whole number whose default is 20 or more counts steps.
[[nodiscard]] inline MethodSettings frequent_settings(const std::vector<MethodOption>& options,
                                                      std::int64_t steps) {
  MethodSettings settings;
  for (const MethodOption& option : options) {
    const auto* number = std::get_if<std::int64_t>(&option.value);
    if (number != nullptr && *number >= 20) {
      settings[option.name] = steps;
    }
  }
  return settings;
}

/// Collects the options that a method's options show.
class OptionCollector {
 public:
  template <class Whole>
  void whole(const char* name, Whole& value, std::int64_t least, std::int64_t most,
             const char* help) {
    options_.push_back({name,
                        help,
                        static_cast<std::int64_t>(value),
                        static_cast<double>(least),
                        static_cast<double>(most),
                        {}});
  }
  void real(const char* name, double& value, double least, double most, const char* help) {
    options_.push_back({name, help, value, least, most, {}});
  }
  void flag(const char* name, bool& value, const char* help) {
    options_.push_back({name, help, value, 0, 0, {}});
  }
  template <class Enum>
  void choice(const char* name, Enum& value, std::vector<std::string> words, const char* help) {
    const std::string word = words[static_cast<std::size_t>(value)];
    options_.push_back({name, help, word, 0, 0, std::move(words)});
  }

  [[nodiscard]] std::vector<MethodOption> take() { return std::move(options_); }

 private:
  std::vector<MethodOption> options_;
};

/// Writes settings into a method's options.
class OptionWriter {
 public:
  OptionWriter(const char* method, const MethodSettings& settings)
      : method_(method), settings_(settings) {}

  template <class Whole>
  void whole(const char* name, Whole& value, std::int64_t least, std::int64_t most,
             const char* /*help*/) {
    if (const auto* number = find<std::int64_t>(name, "a whole number")) {
      require(*number >= least && *number <= most, name, std::to_string(*number),
              "between " + std::to_string(least) + " and " + std::to_string(most));
      value = static_cast<Whole>(*number);
    }
  }
  void real(const char* name, double& value, double least, double most, const char* /*help*/) {
    if (const auto* number = find<double>(name, "a number")) {
      require(*number >= least && *number <= most, name, number_text(*number),
              "between " + number_text(least) + " and " + number_text(most));
      value = *number;
    }
  }
  void flag(const char* name, bool& value, const char* /*help*/) {
    if (const auto* on = find<bool>(name, "true or false")) {
      value = *on;
    }
  }
  template <class Enum>
  void choice(const char* name, Enum& value, const std::vector<std::string>& words,
              const char* /*help*/) {
    if (const auto* word = find<std::string>(name, "a word")) {
      const auto found = std::find(words.begin(), words.end(), *word);
      std::string all;
      for (const std::string& known : words) {
        all += (all.empty() ? "" : ", ") + known;
      }
      require(found != words.end(), name, "'" + *word + "'", "one of " + all);
      value = static_cast<Enum>(found - words.begin());
    }
  }

  /// @throws ArgumentError for a setting that is no option of the method.
  void finish() const {
    for (const auto& setting : settings_) {
      if (known_.find(", " + setting.first + ",") == std::string::npos) {
        ACCRETE_THROW ArgumentError(
            std::string("method ") + method_ + " has no option '" + setting.first +
            "'; its options are" +
            (known_.size() > 2 ? known_.substr(1, known_.size() - 2) : std::string(" none")));
      }
    }
  }

 private:
  template <class Value>
  const Value* find(const char* name, const char* kind) {
    known_ += std::string(" ") + name + ",";
    const auto found = settings_.find(name);
    if (found == settings_.end()) {
      return nullptr;
    }
    const auto* value = std::get_if<Value>(&found->second);
    require(value != nullptr, name, "what was given", kind);
    return value;
  }
  void require(bool holds, const char* name, const std::string& value,
               const std::string& domain) const {
    if (!holds) {
      ACCRETE_THROW ArgumentError(std::string("method ") + method_ + ": " + name + " = " + value +
                                  " must be " + domain);
    }
  }

  const char* method_;
  const MethodSettings& settings_;
  std::string known_ = ",";
};

/// @throws RankError unless `rank` columns fit a rows x cols matrix.
inline void require_rank_within(const char* method, Index rank, Index rows, Index cols) {
  if (rank > (std::min)(rows, cols)) {
    ACCRETE_THROW RankError(std::string("method ") + method + ": rank " + std::to_string(rank) +
                            " exceeds min(m, n) of a " + std::to_string(rows) + " x " +
                            std::to_string(cols) + " weight; use at most " +
                            std::to_string((std::min)(rows, cols)));
  }
}

/// The rank that an option asks for; 0 is a quarter of the smaller side.
/// @throws RankError for one above min(m, n).
inline Index rank_or_quarter(const char* method, Index rank, Index rows, Index cols) {
  require_rank_within(method, rank, rows, cols);
  return rank > 0 ? rank : (std::max<Index>)(1, (std::min)(rows, cols) / 4);
}

} // namespace detail

ACCRETE_END_NAMESPACE
