// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/chains.hpp>

#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Numbers chains in the order in which they are met. The same chain comes up again and again
/// below the terms of sums. Pieces are copied, since the stack moves on.
class KnownChains {
 public:
  KnownChains() {
    for (int& bucket : buckets_) {
      bucket = -1;
    }
  }

  /// The chain's number from 0; the next one when the chain is new.
  int number_of(const PlainArray<Piece>& pieces, const Chain& chain) {
    int& bucket = buckets_[bucket_of(pieces, chain)];
    for (int i = bucket; i >= 0; i = entries_[i].next) {
      if (same(pieces, entries_[i].chain, chain)) {
        return i;
      }
    }
    const int first = static_cast<int>(pieces_.size());
    for (int i = 0; i < chain.count; ++i) {
      pieces_.push(pieces[chain.first + i]);
    }
    bucket = static_cast<int>(entries_.push({{first, chain.count}, bucket}));
    return bucket;
  }

 private:
  struct Entry {
    Chain chain;   ///< in pieces_
    int next = -1; ///< in its bucket
  };

  [[nodiscard]] static std::size_t bucket_of(const PlainArray<Piece>& pieces,
                                             const Chain& chain) noexcept {
    auto value = static_cast<std::size_t>(chain.count);
    for (int i = 0; i < chain.count; ++i) {
      const Piece& piece = pieces[chain.first + i];
      // Operands are few: their numbers fit beside each other.
      const int number =
          piece.sum * 8192 + piece.operand.index * 8 + static_cast<int>(piece.operand.kind);
      value = (value ^ static_cast<std::size_t>(number)) * std::size_t{0x9E3779B97F4A7C15U};
      value ^= value >> 32;
    }
    return value % bucket_count;
  }

  [[nodiscard]] bool same(const PlainArray<Piece>& pieces, const Chain& known,
                          const Chain& chain) const noexcept {
    if (known.count != chain.count) {
      return false;
    }
    for (int i = 0; i < chain.count; ++i) {
      if (!(pieces_[known.first + i] == pieces[chain.first + i])) {
        return false;
      }
    }
    return true;
  }

  static constexpr std::size_t bucket_count = 256;
  int buckets_[bucket_count];
  PlainArray<Entry> entries_;
  PlainArray<Piece> pieces_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
