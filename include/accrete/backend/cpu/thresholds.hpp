// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What of a product c = alpha a b + beta c a threshold is compared with.
enum class Quantity : unsigned char {
  rows,          ///< of c
  cols,          ///< of c
  side,          ///< the lesser of rows and columns
  width,         ///< the greater of both
  thread_width,  ///< the same for each thread
  inner,         ///< columns of a, rows of b
  row_vectors,   ///< registers that the rows of c fill
  inner_widths,  ///< how often the inner dimension holds the width
  panel_columns, ///< tiles along the columns of c for each thread
  work,          ///< multiply-adds
  a_bytes,
  c_bytes,
};

/// A size from which on, or up to which, a product is computed another way.
struct Threshold {
  Quantity quantity;
  Index value;
  const char* decides;
  const char* measured; ///< machine and command
};

/// All that decide how the cpu backend multiplies. Numbers of one kernel's own geometry, such as
/// the sides of its tiles, are beside that kernel.
namespace thresholds {

inline constexpr const char* xeon =
    "2 cores of an Intel Xeon with AVX-512, oneDNN 2.6: benchmarks/performance";
inline constexpr const char* zen4 = "2 cores of an AMD EPYC (Zen 4), oneDNN 2.6: benchmarks/routes";

// Who multiplies.
inline constexpr Threshold loop_work{Quantity::work, 8 * 8 * 8,
                                     "up to it plain loops: any call costs more", zen4};
inline constexpr Threshold outer_inner{Quantity::inner, 16,
                                       "up to it outer products: c is read and written once", zen4};
inline constexpr Threshold outer_inner_avx{
    Quantity::inner, 8, "the same with vectors of 256 bits beside a library, which uses 512", xeon};
inline constexpr Threshold outer_inner_sse{Quantity::inner, 1, "the same with 128 bits", xeon};
inline constexpr Threshold outer_rows{Quantity::row_vectors, 4, "outer products from it on", xeon};
inline constexpr Threshold inner_cols{
    Quantity::cols, 16, "up to it inner products: packing a costs more than its arithmetic", zen4};
inline constexpr Threshold inner_rows{Quantity::rows, 12,
                                      "up to it inner products of the transposed product", zen4};
inline constexpr Threshold inner_inner{Quantity::inner, 128, "inner products from it on", zen4};
inline constexpr Threshold library_inner{Quantity::inner, 512, "the same beside a library", zen4};
inline constexpr Threshold library_a{
    Quantity::a_bytes, Index{1} << 20,
    "inner products with few columns beside a library from it on: a is no longer in a cache", xeon};
inline constexpr Threshold native_c{
    Quantity::c_bytes, Index{9} << 20,
    "own AVX-512 products of float beside a library from it on: with 16 MiB 1.2 times as fast",
    zen4};
inline constexpr Threshold native_inner{Quantity::inner, 96, "the same up to it", zen4};
inline constexpr Threshold unpacked_rows{
    Quantity::rows, 1024,
    "Eigen's kernel with AVX2 beside oneDNN from it on for a in columns: 1.2 to 2 times as fast",
    zen4};
inline constexpr Threshold unpacked_least{Quantity::cols, 16, "the same from it on", zen4};
inline constexpr Threshold unpacked_most{Quantity::cols, 320,
                                         "the same up to it: with more oneDNN packs a", zen4};
inline constexpr Threshold narrow_width{
    Quantity::width, 48, "up to it inner products whatever the columns, if they are long", zen4};
inline constexpr Threshold narrow_inner{Quantity::inner_widths, 16,
                                        "which is from this many times the width on", zen4};

// How many threads, and of what each takes its part.
inline constexpr Threshold team_work{
    Quantity::work, Index{1} << 15,
    "below it, where no route shares out, OpenMP is not asked for threads: 6 ns a question",
    "2 cores of an AMD EPYC (Zen 4): benchmarks/planning"};
inline constexpr Threshold inner_bytes{Quantity::a_bytes, Index{3} << 16,
                                       "all threads from it on for inner products", xeon};
inline constexpr Threshold outer_bytes{Quantity::c_bytes, Index{3} << 16,
                                       "all threads from it on for outer products", xeon};
inline constexpr Threshold outer_work{Quantity::work, Index{1} << 18, "the same where c is smaller",
                                      xeon};
inline constexpr Threshold pack_inner{Quantity::inner, 5,
                                      "outer products that add to c pack a from it on", xeon};
inline constexpr Threshold pack_columns{Quantity::panel_columns, 16,
                                        "where there are as many tiles as this too", xeon};
inline constexpr Threshold gemv_bytes{Quantity::a_bytes, Index{5} << 17,
                                      "all threads from it on for one column", xeon};
inline constexpr Threshold gemv_inner{
    Quantity::inner, 64,
    "columns of a are shared out from it on: memory delivers whole ones faster", xeon};
inline constexpr Threshold gemv_rows{
    Quantity::rows, 2048, "unless they are as long as this, which is as fast from a cache", xeon};
inline constexpr Threshold gemv_cached{Quantity::a_bytes, Index{2} << 20,
                                       "and a is at most this large", xeon};
inline constexpr Threshold gemv_pass{
    Quantity::a_bytes, Index{2} << 20,
    "above it 16 columns of a at a time, as many as are prefetched well", xeon};
inline constexpr Threshold parts_inner{
    Quantity::inner, 512,
    "oneDNN gets a row-major times a column-major matrix in a part for each thread from it on: 1.2 "
    "to 3 times as fast as by its own threads",
    zen4};
inline constexpr Threshold parts_side{Quantity::side, 512, "the same up to it", zen4};
inline constexpr Threshold parts_width{Quantity::thread_width, 128, "the same from it on", xeon};
inline constexpr Threshold eigen_work{Quantity::work, 400000, "for each thread of Eigen's kernel",
                                      xeon};
inline constexpr Threshold eigen_inner{
    Quantity::inner, 1024, "above it Eigen's panels are those of the first-level cache", xeon};
inline constexpr Threshold avx512_work{Quantity::work, Index{1} << 18,
                                       "all threads from it on for AVX-512", xeon};
inline constexpr Threshold amx_work{Quantity::work, Index{1} << 20,
                                    "all threads from it on for AMX", xeon};

/// For tests and benchmarks, which make shapes on both sides of each.
inline constexpr const Threshold* all[] = {
    &loop_work,    &outer_inner,  &outer_inner_avx, &outer_inner_sse, &outer_rows,
    &inner_cols,   &inner_rows,   &inner_inner,     &library_inner,   &library_a,
    &native_c,     &native_inner, &unpacked_rows,   &unpacked_least,  &unpacked_most,
    &narrow_width, &narrow_inner, &inner_bytes,     &outer_bytes,     &outer_work,
    &pack_inner,   &pack_columns, &gemv_bytes,      &gemv_inner,      &gemv_rows,
    &gemv_cached,  &gemv_pass,    &parts_inner,     &parts_side,      &parts_width,
    &eigen_work,   &eigen_inner,  &avx512_work,     &amx_work,        &team_work};

} // namespace thresholds

} // namespace detail

ACCRETE_END_NAMESPACE
