// SPDX-License-Identifier: MIT
#include "stored.hpp"
#include "temporary_folder.hpp"

#include <accrete/matrix/matrix_file.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace ac = accrete;

namespace {

template <class Scalar>
using LowRank = ac::LowRankMatrix<Scalar, TestBackend>;
template <class Scalar>
using Update = ac::CumulativeUpdate<Scalar, TestBackend>;

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
template <class T>
std::string with(std::string bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

template <class Scalar>
Update<Scalar> weight() {
  Update<Scalar> W(random_stored<Scalar>(6, 5, 1),
                   {random_stored<Scalar>(6, 2, 2), random_stored<Scalar>(5, 2, 3)});
  W.set_scale(Scalar(0.3));
  W.reserve(4); // spare columns are no part of the file
  return W;
}

} // namespace

TEST_CASE_TEMPLATE("matrices come back bit for bit", Scalar, TEST_SCALARS) {
  const TemporaryFolder folder;
  const std::string file = folder / "matrix";
  const auto W = weight<Scalar>();
  ac::save(W, file);
  const auto loaded = ac::load_cumulative_update<Scalar, TestBackend>(file);
  CHECK(equal_entries(loaded.base(), W.base()));
  CHECK(equal_entries(loaded.U(), W.U()));
  CHECK(equal_entries(loaded.V(), W.V()));
  CHECK(loaded.scale() == W.scale());

  ac::save(W.low_rank(), file);
  const auto update = ac::load_low_rank_matrix<Scalar, TestBackend>(file);
  CHECK(equal_entries(update.U(), W.U()));
  CHECK(equal_entries(update.V(), W.V()));

  ac::save(LowRank<Scalar>(3, 0), file);
  const auto empty = ac::load_low_rank_matrix<Scalar, TestBackend>(file);
  CHECK(empty.rows() == 3);
  CHECK(empty.cols() == 0);
  CHECK(empty.rank() == 0);
}

TEST_CASE("what is not finite is neither written nor read") {
  const TemporaryFolder folder;
  const std::string file = folder / "matrix";
  auto W = weight<double>();
  ac::save(W, file);
  const std::string before = bytes_of(file);
  set_entry(W.V(), 1, 1, std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_WITH_AS(ac::save(W, file),
                       doctest::Contains("V, 5 x 2, holds NaN or infinity; nothing was written"),
                       ac::NumericError);
  CHECK_THROWS_AS(ac::save(W.low_rank(), file), ac::NumericError);
  set_entry(W.V(), 1, 1, 0.0);
  set_entry(W.base(), 0, 0, std::numeric_limits<double>::infinity());
  CHECK_THROWS_AS(ac::save(W, file), ac::NumericError);
  CHECK(bytes_of(file) == before);

  constexpr std::size_t header = 48;
  write_bytes(file, with(before, header + 8 * 31, std::numeric_limits<double>::infinity()));
  CHECK_THROWS_WITH_AS((void)(ac::load_cumulative_update<double, TestBackend>(file)),
                       doctest::Contains("holds NaN or infinity; it is damaged"), ac::Error);
}

TEST_CASE("damaged and foreign files are refused") {
  const TemporaryFolder folder;
  const std::string file = folder / "matrix";
  const auto W = weight<double>();
  ac::save(W, file);
  const std::string good = bytes_of(file);
  const auto refusal = [&](const std::string& bytes) {
    write_bytes(file, bytes);
    try {
      (void)ac::load_cumulative_update<double, TestBackend>(file);
    } catch (const ac::Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal(good).empty());
  CHECK(refusal(good.substr(0, good.size() - 1)).find("another length") != std::string::npos);
  CHECK(refusal(good + 'x').find("another length") != std::string::npos);
  CHECK(refusal(good.substr(0, 20)).find("ends too early") != std::string::npos);
  CHECK(refusal(with(good, 16, std::int64_t{1})).find("another length") != std::string::npos);
  CHECK(refusal(with(good, 32, std::int64_t{-1})).find("another length") != std::string::npos);
  CHECK(refusal(with(good, 0, 'x')).find("is no CumulativeUpdate") != std::string::npos);
  CHECK(refusal(with(good, good.size() - 8, 'x')).find("does not end") != std::string::npos);
  CHECK(refusal(with(good, 8, std::int64_t{4})).find("another scalar") != std::string::npos);
  CHECK(refusal(with(good, 40, std::numeric_limits<double>::infinity())) // the scale
            .find("has numbers that no CumulativeUpdate has") != std::string::npos);

  write_bytes(file, good);
  CHECK_THROWS_WITH_AS((void)(ac::load_cumulative_update<float, TestBackend>(file)),
                       doctest::Contains("another scalar"), ac::Error);
  CHECK_THROWS_WITH_AS((void)(ac::load_low_rank_matrix<double, TestBackend>(file)),
                       doctest::Contains("is no LowRankMatrix"), ac::Error);
  CHECK_THROWS_WITH_AS((void)(ac::load_low_rank_matrix<double, TestBackend>(file + ".no")),
                       doctest::Contains("cannot be opened"), ac::Error);
}

TEST_CASE("a file that cannot be read says so with the system's reason") {
  const auto refusal = [](const std::string& path) {
    try {
      (void)ac::load_low_rank_matrix<double, TestBackend>(path);
    } catch (const ac::Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  // Of a folder some file systems have no size, others nothing to read.
  const TemporaryFolder folder;
  const std::string text = refusal(folder.path());
  CHECK((text.ends_with(" has no size: Invalid argument") ||
         text.ends_with(" cannot be read: Is a directory")));
  if (std::filesystem::exists("/proc/self/mem")) {
    CHECK(refusal("/proc/self/mem") ==
          "accrete: LowRankMatrix file /proc/self/mem cannot be read: Input/output error");
  } else {
    MESSAGE("skipped: no regular file here that cannot be read");
  }
}

TEST_CASE_TEMPLATE("visit_state reaches every part", Scalar, TEST_SCALARS) {
  auto from = weight<Scalar>();
  Update<Scalar> to(on_backend(Dense<Scalar>::Zero(6, 5)),
                    {on_backend(Dense<Scalar>::Zero(6, 2)), on_backend(Dense<Scalar>::Zero(5, 2))});
  std::vector<Stored<Scalar>> parts;
  struct Read {
    std::vector<Stored<Scalar>>& parts;
    void operator()(const char*, ac::ViewOn<Scalar, TestBackend> view) const {
      parts.push_back(ac::lazy(view).eval());
    }
    void operator()(const char*, Scalar& number) const {
      parts.push_back(on_backend(Dense<Scalar>::Constant(1, 1, number)));
    }
  };
  from.visit_state(Read{parts});
  REQUIRE(parts.size() == 4);
  std::size_t next = 0;
  struct Write {
    const std::vector<Stored<Scalar>>& parts;
    std::size_t& next;
    void operator()(const char*, ac::ViewOn<Scalar, TestBackend> view) const {
      view = ac::lazy(parts[next++]);
    }
    void operator()(const char*, Scalar& number) const {
      number = ac::to_host(parts[next++])(0, 0);
    }
  };
  to.visit_state(Write{parts, next});
  CHECK(equal_entries(to, from));
}
