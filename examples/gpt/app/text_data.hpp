// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gpt {

/// One byte of text as its place in the vocabulary.
using Token = std::uint8_t;
using Tokens = std::span<const Token>;

/// The distinct bytes of a text in ascending order; a token is a place in that list.
class Vocabulary {
 public:
  explicit Vocabulary(std::string_view text) {
    std::array<bool, 256> seen{};
    for (const char c : text) {
      seen[static_cast<unsigned char>(c)] = true;
    }
    for (int byte = 0; byte < 256; ++byte) {
      if (seen[static_cast<std::size_t>(byte)]) {
        append(static_cast<unsigned char>(byte));
      }
    }
  }

  [[nodiscard]] int size() const noexcept { return static_cast<int>(bytes_.size()); }
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
  [[nodiscard]] char decode(int token) const { return bytes_.at(static_cast<std::size_t>(token)); }

  /// @throws TextError naming the first character that is not in the vocabulary
  [[nodiscard]] std::vector<Token> encode(std::string_view text) const {
    std::vector<Token> tokens(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
      const int place = places_[static_cast<unsigned char>(text[i])];
      if (place < 0) {
        throw_unknown(static_cast<unsigned char>(text[i]), i);
      }
      tokens[i] = static_cast<Token>(place);
    }
    return tokens;
  }

 private:
  void append(unsigned char byte) {
    places_[byte] = static_cast<int>(bytes_.size());
    bytes_.push_back(static_cast<char>(byte));
  }

  [[noreturn]] void throw_unknown(unsigned char byte, std::size_t position) const {
    char text[8];
    std::snprintf(text, sizeof text, byte > 32 && byte < 127 ? "'%c'" : "0x%02x", byte);
    throw TextError("encoding text: the character " + std::string(text) + " at position " +
                    std::to_string(position) + " is not among the " + std::to_string(size()) +
                    " characters that the model was trained on; remove it or train on a text "
                    "that has it");
  }

  std::string bytes_;
  std::array<int, 256> places_ = [] {
    std::array<int, 256> places{};
    places.fill(-1);
    return places;
  }();
};

/// 64-bit FNV-1a of the bytes, in hexadecimal; tells two texts apart, no protection.
[[nodiscard]] inline std::string checksum(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

/// A text as tokens: the first int(0.9 n) characters to train on, the others to validate on.
class TextData {
 public:
  /// Vocabulary of the text itself. @throws FileError, TextError
  static TextData load(const fs::path& path, std::int64_t context) {
    const std::string text = read(path);
    return TextData(path, text, Vocabulary(text), context);
  }
  /// Vocabulary of a trained model. @throws FileError, TextError
  static TextData load(const fs::path& path, std::int64_t context, const Vocabulary& vocabulary) {
    return TextData(path, read(path), vocabulary, context);
  }

  [[nodiscard]] const Vocabulary& vocabulary() const noexcept { return vocabulary_; }
  [[nodiscard]] Tokens train() const noexcept { return Tokens(tokens_).first(train_size_); }
  [[nodiscard]] Tokens validation() const noexcept { return Tokens(tokens_).subspan(train_size_); }
  [[nodiscard]] const std::string& text_checksum() const noexcept { return checksum_; }

 private:
  TextData(const fs::path& path, const std::string& text, Vocabulary vocabulary,
           std::int64_t context)
      : vocabulary_(std::move(vocabulary)),
        checksum_(checksum(text)),
        train_size_(train_part(text.size())) {
    check_length(path, text.size(), static_cast<std::size_t>(context));
    tokens_ = vocabulary_.encode(text);
  }

  static std::string read(const fs::path& path) {
    std::string text = InputFile(path).read_all();
    if (text.empty()) {
      throw TextError("reading text '" + path.string() +
                      "': the file is empty; choose a text file");
    }
    return text;
  }

  static std::size_t train_part(std::size_t size) {
    return static_cast<std::size_t>(0.9 * static_cast<double>(size));
  }

  static void check_length(const fs::path& path, std::size_t size, std::size_t context) {
    const auto part = [](std::size_t n) { return std::min(train_part(n), n - train_part(n)); };
    if (part(size) > context) {
      return;
    }
    std::size_t needed = 10 * context;
    while (part(needed) <= context) {
      ++needed;
    }
    std::string remedy = "; use a longer text";
    if (part(size) > 1) {
      remedy += " or --context " + std::to_string(part(size) - 1);
    }
    throw TextError("reading text '" + path.string() + "': " + std::to_string(size) +
                    " characters split into " + std::to_string(train_part(size)) +
                    " for training and " + std::to_string(size - train_part(size)) +
                    " for validation, and a context of " + std::to_string(context) +
                    " needs at least " + std::to_string(context + 1) + " in each, that is " +
                    std::to_string(needed) + " characters" + remedy);
  }

  Vocabulary vocabulary_;
  std::string checksum_;
  std::size_t train_size_ = 0;
  std::vector<Token> tokens_;
};

/// Random numbers of the batches: number k of stream s is SplitMix64's output at counter
/// mix(seed, s) + k * 0x9e3779b97f4a7c15.
///
/// The whole state is (seed, stream, position), so a checkpoint stores three integers.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t stream) noexcept
      : origin_(mix(seed + golden * (stream + 1))) {}

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  void seek(std::uint64_t position) noexcept { position_ = position; }

  [[nodiscard]] std::uint64_t next() noexcept { return mix(origin_ + golden * ++position_); }

  /// In [0, count), by the high half of a 128-bit product; the bias is below count / 2^64.
  [[nodiscard]] std::uint64_t below(std::uint64_t count) noexcept {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * count) >> 64U);
  }

  /// In [0, 1), 53 bits.
  [[nodiscard]] double uniform() noexcept { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }

 private:
  static constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;

  static std::uint64_t mix(std::uint64_t z) noexcept {
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  std::uint64_t origin_;
  std::uint64_t position_ = 0;
};

/// `count` windows of `length` tokens and the tokens that follow each of them.
struct Batch {
  std::int64_t count = 0;
  std::int64_t length = 0;
  std::vector<int> tokens;
  std::vector<int> targets;

  void resize(std::int64_t new_count, std::int64_t new_length) {
    count = new_count;
    length = new_length;
    tokens.resize(static_cast<std::size_t>(count * length));
    targets.resize(tokens.size());
  }

  /// Window `index` becomes text[offset, offset + length), its targets one further.
  void set_window(std::int64_t index, Tokens text, std::size_t offset) {
    const auto size = static_cast<std::size_t>(length);
    const auto first = static_cast<std::size_t>(index) * size;
    for (std::size_t i = 0; i < size; ++i) {
      tokens[first + i] = text[offset + i];
      targets[first + i] = text[offset + i + 1];
    }
  }
};

/// Fills the batch with windows at independent random offsets, as nanoGPT's get_batch does.
inline void draw_batch(Batch& batch, Tokens text, RandomStream& random) {
  const auto choices = text.size() - static_cast<std::size_t>(batch.length);
  for (std::int64_t i = 0; i < batch.count; ++i) {
    batch.set_window(i, text, random.below(choices));
  }
}

} // namespace gpt
