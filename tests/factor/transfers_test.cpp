// SPDX-License-Identifier: MIT
// How often numbers go between host and device. Each transfer waits for all that was launched
// before it, so their number is part of what an algorithm costs on a device.
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/hadamard.hpp>
#include <accrete/factor/incremental_svd.hpp>
#include <accrete/factor/polar.hpp>
#include <accrete/factor/row_norms.hpp>
#include <accrete/optim/adamw.hpp>

#include <numeric>
#include <vector>

namespace {

struct Counting;
#ifdef ACCRETE_TEST_DEVICE
using CountedStorage = accrete::detail::DeviceStorage<Counting>;
using CountedDevice = remote::RemoteDevice<Counting>;
using CountedKernels = remote::RemoteKernels<Counting>;
#else
using CountedStorage = accrete::detail::HostStorage;
using CountedDevice = accrete::Device<TestBackend>;
using CountedKernels = accrete::Kernels<TestBackend>;
#endif

/// The tested backend with its transfers counted, and its calls of kernels that treat columns.
struct Counting : CountedStorage {
  [[maybe_unused]] static constexpr const char* name = "counting";
  static inline int uploads = 0;
  static inline int downloads = 0;
  static inline int copies = 0;
  static void reset() { uploads = downloads = copies = 0; }
};

} // namespace

ACCRETE_BEGIN_NAMESPACE
template <>
class Device<Counting> : public CountedDevice {};
template <>
struct Kernels<Counting> : CountedKernels {
  template <class Scalar>
  static void upload(Device<Counting>& device, const Scalar* host, ViewOn<Scalar, Counting> c) {
    ++Counting::uploads;
    CountedKernels::upload(device, host, c);
  }
  template <class Scalar>
  static void download(Device<Counting>& device, ViewOn<const Scalar, Counting> a, Scalar* host) {
    ++Counting::downloads;
    CountedKernels::download(device, a, host);
  }
  template <class Scalar>
  static void combine(Device<Counting>& device, Scalar alpha, ViewOn<const Scalar, Counting> a,
                      Scalar beta, ViewOn<Scalar, Counting> c) {
    ++Counting::copies;
    CountedKernels::combine(device, alpha, a, beta, c);
  }
};
ACCRETE_END_NAMESPACE

namespace ac = accrete;
using ac::Index;

namespace {

template <class S>
using Stream = ac::IncrementalSVD<S, Counting>;

/// Storage of the backend that counts.
template <class S>
using Block = ac::Matrix<S, Counting>;
template <class S>
Block<S> block(Index rows, Index cols, unsigned seed) {
  return ac::from_host<Counting>(random_matrix<S>(rows, cols, seed));
}

template <class Update>
void check_one_each_way(const Update& update) {
  Counting::reset();
  update();
  CHECK(Counting::downloads == 1);
  CHECK(Counting::uploads == 1);
}

} // namespace

TEST_CASE_TEMPLATE("an update of an IncrementalSVD is one download and one upload", S,
                   TEST_SCALARS) {
  const Block<S> x = block<S>(60, 40, 1);
  const auto columns = [&](Index first, Index count) {
    return Counting::matrix_view(ac::view_of(x).columns(first, count));
  };
  Stream<S> svd(60, {.max_rank = 12, .check_every = 1000});
  Stream<S> without_v(60, {.max_rank = 12, .keep_v = false, .check_every = 1000});
  check_one_each_way([&] { svd.append_columns(columns(0, 20)); });
  check_one_each_way([&] { without_v.append_columns(columns(0, 20)); });
  for (Index j = 20; j < 32; j += 3) {
    check_one_each_way([&] { svd.append_columns(columns(j, 3)); });
    check_one_each_way([&] { without_v.append_columns(columns(j, 3)); });
    const Block<S> rows = block<S>(2, svd.cols(), 2);
    check_one_each_way([&] { svd.append_rows(rows); });
    const Block<S> a = block<S>(svd.rows(), 2, 3);
    const Block<S> b = block<S>(svd.cols(), 2, 4);
    check_one_each_way([&] { svd.add(a, b); });
    svd = Stream<S>(60, {.max_rank = 12, .check_every = 1000});
    svd.append_columns(columns(0, j));
  }
  // Also of what is within the span, whose directions are noise.
  svd = Stream<S>(60);
  svd.append_columns(columns(0, 5));
  check_one_each_way([&] { svd.append_columns(columns(0, 5)); });
  CHECK(svd.rank() == 5);
  Counting::reset();
  svd.downdate(1, 3); // U diag(values) takes the values to the device
  CHECK(Counting::downloads == 1);
  CHECK(Counting::uploads == 2);
  Counting::reset();
  CHECK(svd.orthogonality() < 1e3 * static_cast<double>(std::numeric_limits<S>::epsilon()));
  CHECK(Counting::downloads == 0);
  CHECK(Counting::uploads == 0);
}

TEST_CASE_TEMPLATE("nothing but scalars leaves the device where a result stays on it", S,
                   TEST_SCALARS) {
  const ac::CumulativeUpdate<S, Counting> w(
      block<S>(30, 20, 1), ac::LowRankMatrix<S, Counting>(block<S>(30, 4, 2), block<S>(20, 4, 3)));
  const Block<S> a = block<S>(9, 6, 4);
  Counting::reset();
  CHECK(ac::column_norms(w).rows() == 20);
  CHECK(ac::row_norms(w).rows() == 30);
  CHECK(ac::hadamard(w.low_rank(), w.low_rank()).rank() == 16);
  CHECK(ac::polar_factor(ac::lazy<Counting>(a)).cols() == 6);
  CHECK(Counting::downloads == 0);
  CHECK(Counting::uploads == 0);
}

TEST_CASE_TEMPLATE("the state of an optimizer moves in as many calls for one column as for all", S,
                   TEST_SCALARS) {
  ac::AdamW<S, Counting> optimizer(30, 24);
  std::vector<Index> kept(20);
  std::iota(kept.begin(), kept.end(), Index{2});
  const auto calls = [&](const std::vector<Index>& columns) {
    Counting::reset();
    optimizer.reset_columns(columns);
    return Counting::copies;
  };
  CHECK(calls(kept) == calls({3}));
  Counting::reset();
  optimizer.keep_columns(kept);
  CHECK(optimizer.cols() == 20);
  CHECK(Counting::copies == 0);
  CHECK(Counting::downloads == 0);
  CHECK(Counting::uploads == 0);
}
