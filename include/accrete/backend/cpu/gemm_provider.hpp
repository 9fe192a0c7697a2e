// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/native/avx512.hpp>
#include <accrete/backend/cpu/providers/blas.hpp>
#include <accrete/backend/cpu/providers/eigen.hpp>
#include <accrete/backend/cpu/providers/onednn.hpp>
#include <accrete/backend/cpu/providers/provider_list.hpp>
#include <accrete/backend/cpu/route.hpp>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The products of this library, where no other one computes them.
using NativeProviders = ProviderList<native::Avx512Gemm, EigenGemm>;

/// Who multiplies matrices of float or double; chosen when the program is compiled.
#if defined(ACCRETE_USE_ONEDNN)
template <class Scalar>
using GemmProviders =
    std::conditional_t<std::is_same_v<Scalar, float>, ProviderList<OnednnGemm>, NativeProviders>;
inline constexpr Library library_of_build = Library::onednn;
#elif defined(ACCRETE_USE_BLAS)
template <class Scalar>
using GemmProviders = ProviderList<BlasGemm, EigenGemm>; // Eigen where an int is too narrow
inline constexpr Library library_of_build = Library::blas;
#else
template <class Scalar>
using GemmProviders = NativeProviders;
inline constexpr Library library_of_build = Library::none;
#endif

/// Whose the products of this scalar are.
template <class Scalar>
inline constexpr Library product_library =
    std::is_same_v<GemmProviders<Scalar>, NativeProviders> ? Library::none : library_of_build;

/// Whether the products of this library are there where another's are the rule.
template <class Scalar>
inline constexpr bool has_native_beside_library =
    product_library<Scalar> != Library::none && std::is_same_v<Scalar, float>;

} // namespace detail

ACCRETE_END_NAMESPACE
