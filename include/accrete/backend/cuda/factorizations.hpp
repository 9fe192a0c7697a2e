// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/products.hpp>
#include <accrete/backend/cuda/transfer.hpp>
#include <accrete/backend/factorization_checks.hpp>
#include <accrete/backend/host/cholesky_qr.hpp>
#include <accrete/backend/host/small_dense.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Factorisations by cuSOLVER; what is small is solved on the host in double.
template <class Scalar>
struct CudaFactorizations {
  using Target = View<Scalar, Cuda>;
  using Source = View<const Scalar, Cuda>;

  /// As HostFactorizations::thin_qr. Reflections: geqrf and orgqr.
  static void thin_qr(Device<Cuda>& device, Target a_to_q, Target r) {
    check_thin_qr(a_to_q, r);
    if (a_to_q.cols == 0) {
      return;
    }
    const Scalar scale = checked_scale(device, "thin_qr", a_to_q);
    Frame<Cuda> frame(device.workspace());
    const Target work = scaled(device, frame, a_to_q, scale);
    Scalar* const reflectors = frame.allocate<Scalar>(work.cols);
    factorise(device, frame, work, reflectors);
    const Target triangle = frame.matrix<Scalar>(r.rows, r.cols);
    CudaLaunches<Scalar>::upper_triangle(device.stream(), work, triangle);
    copy(device, 1 / scale, triangle, r);
    form_q(device, frame, work, reflectors);
    copy(device, Scalar{1}, work, a_to_q);
  }

  /// As the kernel table says. The Gram matrix comes to the host and two triangles go back.
  static double cholesky_qr(Device<Cuda>& device, Source a, Target r, Target r_inverse) {
    constexpr double broken = std::numeric_limits<double>::infinity();
    const Index k = a.cols;
    if (a.empty()) {
      return k == 0 ? 0.0 : broken;
    }
    Frame<Cuda> frame(device.workspace());
    Workspace::Frame host(host_workspace());
    const View<double> gram = host.matrix<double>(k, k);
    double* const lengths = host.allocate<double>(k);
    if (!unit_gram(device, frame, host, a, gram, lengths) ||
        small_cholesky(k, gram.data, 0.0) < k) {
      return broken;
    }
    const View<double> inverse = host.matrix<double>(k, k);
    invert_lower(k, gram.data, k, inverse.data);
    Scalar* const host_r = host.allocate<Scalar>(k * k);
    Scalar* const host_inverse = host.allocate<Scalar>(k * k);
    double growth = 0;
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) { // Lᵀ diag(lengths) and diag(lengths)⁻¹ L⁻ᵀ
        growth += inverse(i, j) * inverse(i, j);
        host_r[i * k + j] = static_cast<Scalar>(gram(i, j) * lengths[i]);
        host_inverse[i * k + j] = static_cast<Scalar>(inverse(i, j) / lengths[j]);
      }
    }
    if (!is_finite(growth)) {
      return broken;
    }
    cuda_upload(device, host_r, r);
    cuda_upload(device, host_inverse, r_inverse);
    return growth;
  }

  /// As HostFactorizations::svd. Of a tall matrix the triangle's, and a product; of what is small
  /// on the host; of others by gesvd.
  static void svd(Device<Cuda>& device, Source a, Target u, Target values, Target v) {
    check_svd(a, u, values, v);
    if (a.empty()) {
      return;
    }
    if (a.rows < a.cols) {
      a = a.transposed();
      std::swap(u, v);
    }
    if (2 * a.rows > 3 * a.cols) {
      svd_of_tall(device, a, u, values, v);
    } else if (a.cols <= most_on_host) {
      svd_on_host(device, a, u, values, v);
    } else {
      svd_on_device(device, a, u, values, v);
    }
  }

 private:
  // Not measured on a device yet.
  static constexpr Index most_on_host = 256;

  /// By which the entries are multiplied so that their squares can be represented.
  /// @throws NumericError for NaN or infinity.
  static Scalar checked_scale(Device<Cuda>& device, const char* operation, Source a) {
    Frame<Cuda> frame(device.workspace());
    Workspace::Frame host(host_workspace());
    const auto norms = frame.matrix<Scalar>(a.cols, 1);
    CudaLaunches<Scalar>::column_norms(device.stream(), a, norms);
    Scalar* const of_columns = host.allocate<Scalar>(a.cols);
    cuda_download(device, norms.as_const(), of_columns);
    Scalar largest{0};
    bool finite = true;
    for (Index j = 0; j < a.cols; ++j) {
      finite = finite && is_finite(of_columns[j]);
      largest = (std::max)(largest, of_columns[j]);
    }
    if (finite) {
      return unit_scale(largest);
    }
    if (!cuda_all_finite(device, a)) {
      throw_not_finite(operation, a.rows, a.cols);
    }
    return unit_scale((std::numeric_limits<Scalar>::max)()); // a norm beyond the largest number
  }

  static void copy(Device<Cuda>& device, Scalar factor, Source from, Target to) {
    CudaLaunches<Scalar>::template combine<Scalar>(device.stream(), factor, from, Scalar{0}, to);
  }
  template <class Frame>
  static Target scaled(Device<Cuda>& device, Frame& frame, Source a, Scalar factor) {
    const Target result = frame.template matrix<Scalar>(a.rows, a.cols);
    copy(device, factor, a, result);
    return result;
  }

  /// A workspace on each side, of as many bytes as the library asks for.
  template <class Frame, class Query, class Run>
  static void with_workspaces(Frame& frame, const char* call, const Target& a, const Query& query,
                              const Run& run) {
    std::size_t device_bytes = 0;
    std::size_t host_bytes = 0;
    check_cuda(query(&device_bytes, &host_bytes), call, {a.rows, a.cols});
    Workspace::Frame host(host_workspace());
    void* const device_buffer =
        frame.template allocate<std::byte>(static_cast<Index>(device_bytes));
    void* const host_buffer = host.allocate<std::byte>(static_cast<Index>(host_bytes));
    check_cuda(run(device_buffer, device_bytes, host_buffer, host_bytes), call, {a.rows, a.cols});
  }

  /// a <- the reflectors and the triangle of its QR.
  template <class Frame>
  static void factorise(Device<Cuda>& device, Frame& frame, const Target& a, Scalar* reflectors) {
    constexpr cudaDataType type = cuda_type<Scalar>;
    int* const info = frame.template allocate<int>(1); // tells bad arguments, as the status does
    with_workspaces(
        frame, "cusolverDnXgeqrf", a,
        [&](std::size_t* device_bytes, std::size_t* host_bytes) {
          return cusolverDnXgeqrf_bufferSize(device.cusolver(), device.cusolver_params(), a.rows,
                                             a.cols, type, a.data, a.rows, type, reflectors, type,
                                             device_bytes, host_bytes);
        },
        [&](void* buffer, std::size_t device_bytes, void* host_buffer, std::size_t host_bytes) {
          return cusolverDnXgeqrf(device.cusolver(), device.cusolver_params(), a.rows, a.cols, type,
                                  a.data, a.rows, type, reflectors, type, buffer, device_bytes,
                                  host_buffer, host_bytes, info);
        });
  }

  /// a <- the orthonormal columns that its reflectors stand for.
  template <class Frame>
  static void form_q(Device<Cuda>& device, Frame& frame, const Target& a,
                     const Scalar* reflectors) {
    if (a.rows > (std::numeric_limits<int>::max)()) {
      ACCRETE_THROW ShapeError("thin_qr: cuSOLVER forms no Q of " + shape_text(a.rows, a.cols) +
                               ": it counts rows in 32 bits; use QrMethod::cholesky");
    }
    const int m = static_cast<int>(a.rows);
    const int k = static_cast<int>(a.cols);
    const auto call = [&](const auto& query, const auto& run, const char* name) {
      int size = 0;
      check_cuda(query(device.cusolver(), m, k, k, a.data, m, reflectors, &size), name,
                 {a.rows, a.cols});
      Scalar* const work = frame.template allocate<Scalar>(size);
      int* const info = frame.template allocate<int>(1);
      check_cuda(run(device.cusolver(), m, k, k, a.data, m, reflectors, work, size, info), name,
                 {a.rows, a.cols});
    };
    if constexpr (std::is_same_v<Scalar, float>) {
      call(cusolverDnSorgqr_bufferSize, cusolverDnSorgqr, "cusolverDnSorgqr");
    } else {
      call(cusolverDnDorgqr_bufferSize, cusolverDnDorgqr, "cusolverDnDorgqr");
    }
  }

  /// gram <- that of a's columns brought to length one, on the host. False where a column is zero
  /// or not finite.
  template <class Frame>
  static bool unit_gram(Device<Cuda>& device, Frame& frame, Workspace::Frame& host, Source a,
                        const View<double>& gram, double* lengths) {
    const Index k = a.cols;
    download_gram(device, frame, host, a, gram);
    if (!squares_are_exact(gram, a.rows)) {
      const auto norms = frame.template matrix<Scalar>(k, 1);
      CudaLaunches<Scalar>::column_norms(device.stream(), a, norms);
      Scalar* const scales = host.allocate<Scalar>(k);
      cuda_download(device, norms.as_const(), scales);
      for (Index j = 0; j < k; ++j) {
        if (!is_finite(scales[j]) || scales[j] == Scalar{0}) {
          return false;
        }
        scales[j] = unit_scale(scales[j]);
      }
      cuda_upload(device, scales, norms);
      const auto unit = frame.template matrix<Scalar>(a.rows, k);
      CudaLaunches<Scalar>::scale_columns(device.stream(), a, norms, unit);
      download_gram(device, frame, host, unit, gram);
      for (Index j = 0; j < k; ++j) {
        lengths[j] = 1 / static_cast<double>(scales[j]);
      }
    } else {
      std::fill_n(lengths, k, 1.0);
    }
    return divide_by_lengths(gram, lengths);
  }

  /// The diagonal of gram becomes one; lengths are multiplied by its roots.
  static bool divide_by_lengths(const View<double>& gram, double* lengths) {
    const Index k = gram.cols;
    for (Index j = 0; j < k; ++j) {
      const double root = std::sqrt(gram(j, j));
      const auto length = static_cast<Scalar>(root * lengths[j]);
      if (!is_finite(length) || !(root > 0) || !is_finite(1 / length)) {
        return false;
      }
      lengths[j] *= root;
      for (Index i = 0; i < k; ++i) {
        gram(i, j) /= root;
        gram(j, i) /= root;
      }
    }
    return true;
  }

  template <class Frame>
  static void download_gram(Device<Cuda>& device, Frame& frame, Workspace::Frame& host, Source a,
                            const View<double>& gram) {
    const auto product = frame.template matrix<Scalar>(a.cols, a.cols);
    CudaProducts::gemm<Scalar, Scalar>(device, Scalar{1}, a.transposed(), a, Scalar{0}, product);
    Scalar* const downloaded = host.allocate<Scalar>(product.size());
    cuda_download(device, product.as_const(), downloaded);
    std::copy_n(downloaded, gram.size(), gram.data);
  }

  /// Products of entries that matter are rounded, and neither infinite nor subnormal.
  static bool squares_are_exact(const View<double>& gram, Index rows) {
    using Limits = std::numeric_limits<Scalar>;
    const double least =
        static_cast<double>(rows) * static_cast<double>((Limits::min)() / Limits::epsilon());
    for (Index j = 0; j < gram.cols; ++j) {
      if (!is_finite(gram(j, j)) || gram(j, j) < least) {
        return false;
      }
    }
    return true;
  }

  static void svd_of_tall(Device<Cuda>& device, Source a, Target u, Target values, Target v) {
    Frame<Cuda> frame(device.workspace());
    const Target q = scaled(device, frame, a, Scalar{1});
    const Target r = frame.template matrix<Scalar>(a.cols, a.cols);
    ACCRETE_TRY { thin_qr(device, q, r); }
    ACCRETE_CATCH(const NumericError&) { throw_not_finite("svd", a.rows, a.cols); }
    if (u.data == nullptr) {
      return svd(device, r, u, values, v);
    }
    const Target of_r = frame.template matrix<Scalar>(a.cols, a.cols);
    svd(device, r, of_r, values, v);
    CudaProducts::gemm<Scalar, Scalar>(device, Scalar{1}, q, of_r.as_const(), Scalar{0}, u);
  }

  static void svd_on_host(Device<Cuda>& device, Source a, Target u, Target values, Target v) {
    Workspace::Frame host(host_workspace());
    Scalar* const narrow = host.allocate<Scalar>(a.size());
    const View<double> matrix = host.matrix<double>(a.rows, a.cols);
    cuda_download(device, a, narrow);
    std::copy_n(narrow, a.size(), matrix.data);
    const View<double> sigma = host.matrix<double>(a.cols, 1);
    const bool with_vectors = u.data != nullptr;
    const View<double> left = with_vectors ? host.matrix<double>(a.rows, a.cols) : View<double>{};
    const View<double> right = with_vectors ? host.matrix<double>(a.cols, a.cols) : View<double>{};
    small_svd(device.threads(), matrix, left, sigma, right);
    const auto upload = [&](const View<double>& from, const Target& to) {
      Scalar* const rounded = host.allocate<Scalar>(from.size());
      std::transform(from.data, from.data + from.size(), rounded,
                     [](double x) { return static_cast<Scalar>(x); });
      cuda_upload(device, rounded, to);
    };
    upload(sigma, values);
    if (with_vectors) {
      upload(left, u);
      upload(right, v);
    }
  }

  /// a has at least as many rows as columns. gesvd destroys its operand and returns vᵀ.
  static void svd_on_device(Device<Cuda>& device, Source a, Target u, Target values, Target v) {
    constexpr cudaDataType type = cuda_type<Scalar>;
    const Scalar scale = checked_scale(device, "svd", a);
    Frame<Cuda> frame(device.workspace());
    const Index m = a.rows;
    const Index n = a.cols;
    const bool with_vectors = u.data != nullptr;
    const signed char job = with_vectors ? 'S' : 'N';
    const Target work = scaled(device, frame, a, scale);
    const Target sigma = frame.template matrix<Scalar>(n, 1);
    const Target left = frame.template matrix<Scalar>(m, with_vectors ? n : 1);
    const Target right = frame.template matrix<Scalar>(n, with_vectors ? n : 1);
    int* const info = frame.template allocate<int>(1);
    with_workspaces(
        frame, "cusolverDnXgesvd", work,
        [&](std::size_t* device_bytes, std::size_t* host_bytes) {
          return cusolverDnXgesvd_bufferSize(
              device.cusolver(), device.cusolver_params(), job, job, m, n, type, work.data, m, type,
              sigma.data, type, left.data, m, type, right.data, n, type, device_bytes, host_bytes);
        },
        [&](void* buffer, std::size_t device_bytes, void* host_buffer, std::size_t host_bytes) {
          return cusolverDnXgesvd(device.cusolver(), device.cusolver_params(), job, job, m, n, type,
                                  work.data, m, type, sigma.data, type, left.data, m, type,
                                  right.data, n, type, buffer, device_bytes, host_buffer,
                                  host_bytes, info);
        });
    if (device.downloaded(info) != 0) {
      throw_no_convergence("svd", m, n);
    }
    copy(device, 1 / scale, sigma, values);
    if (with_vectors) {
      copy(device, Scalar{1}, left, u);
      copy(device, Scalar{1}, right.transposed(), v);
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
