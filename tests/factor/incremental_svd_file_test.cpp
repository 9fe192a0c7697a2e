// SPDX-License-Identifier: MIT
#include "file_size_limit.hpp"
#include "temporary_folder.hpp"
#include "test_backend.hpp"

#include <accrete/factor/incremental_svd.hpp>
#include <accrete/factor/incremental_svd_file.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

namespace fs = std::filesystem;

namespace {

using Stream = accrete::IncrementalSVD<double, TestBackend>;

Stream stream(bool keep_v) {
  std::srand(7);
  Stream svd(12, {.max_rank = 5, .tolerance = 0.01, .keep_v = keep_v, .check_every = 2});
  svd.append_columns(on_backend(Eigen::MatrixXd::Random(12, 4)));
  svd.append_columns(on_backend(Eigen::MatrixXd::Random(12, 3)));
  return svd;
}

std::string message(const std::string& path) {
  try {
    static_cast<void>(accrete::load_incremental_svd<double>(path));
  } catch (const accrete::Error& error) {
    return error.what();
  }
  return "";
}

} // namespace

TEST_CASE("a saved stream goes on bit for bit") {
  const TemporaryFolder folder;
  for (const bool keep_v : {true, false}) {
    Stream svd = stream(keep_v);
    accrete::save(svd.state(), folder / "stream");
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
    Stream loaded(accrete::load_incremental_svd<double>(folder / "stream"));
    CHECK(loaded.options().tolerance == 0.01);
    const Stored<double> block = on_backend(Eigen::MatrixXd::Random(12, 2));
    svd.append_columns(block);
    loaded.append_columns(block);
    CHECK(loaded.cols() == svd.cols());
    CHECK(loaded.singular_values() == svd.singular_values());
    CHECK(loaded.error_bound() == svd.error_bound());
    CHECK(accrete::to_host(loaded.U()) == accrete::to_host(svd.U()));
  }
}

TEST_CASE("files that are missing, cut, damaged or foreign say what is wrong") {
  const TemporaryFolder folder;
  const std::string path = folder / "stream";
  CHECK(message(path).find("cannot be opened") != std::string::npos);
  accrete::save(stream(true).state(), path);
  const auto size = fs::file_size(path);
  CHECK_THROWS_AS((void)accrete::load_incremental_svd<float>(path), accrete::Error);

  for (const auto shorter : {size - 1, size / 2, std::uintmax_t{40}, std::uintmax_t{0}}) {
    fs::resize_file(path, shorter);
    CAPTURE(shorter);
    const std::string text = message(path);
    CHECK((text.find("cut") != std::string::npos));
  }
  std::ofstream(path) << std::string(500, 'x');
  CHECK(message(path).find("is no IncrementalSVD") != std::string::npos);

  accrete::save(stream(true).state(), path);
  std::fstream damaged(path, std::ios::binary | std::ios::in | std::ios::out);
  damaged.seekp(static_cast<std::streamoff>(size) - 16);
  const double infinite = std::numeric_limits<double>::infinity();
  damaged.write(reinterpret_cast<const char*>(&infinite), 8);
  damaged.close();
  CHECK(message(path).find("NaN or infinity") != std::string::npos);
}

TEST_CASE("a failed write leaves the old file") {
  const TemporaryFolder folder;
  const std::string path = folder / "stream";
  Stream svd = stream(true);
  accrete::save(svd.state(), path);
  CHECK_THROWS_AS(accrete::save(svd.state(), folder / "nowhere/stream"), accrete::Error);
  std::ofstream(path + ".new") << "someone else's";
  accrete::save(svd.state(), path);
  CHECK(fs::file_size(path + ".new") == 14);
  {
    const FileSizeLimit limit(100);
    CHECK_THROWS_AS(accrete::save(svd.state(), path), accrete::Error);
  }
  CHECK(message(path).empty());
  CHECK_FALSE(fs::exists(path + ".new1"));
}

TEST_CASE("a link, a device and a FIFO stay what they are") {
  const TemporaryFolder folder;
  Stream svd = stream(true);
  const std::string link = folder / "link";
  fs::create_symlink("between", link);
  fs::create_symlink(folder / "target", folder / "between");
  for (int i = 0; i < 2; ++i) { // the target does not exist, then does
    accrete::save(svd.state(), link);
    CHECK(fs::is_symlink(link));
    CHECK(fs::is_symlink(folder / "between"));
    CHECK(message(folder / "target").empty());
    CHECK(message(link).empty());
  }

  const std::string device = folder / "device";
  if (::mknod(device.c_str(), S_IFCHR | 0600, ::makedev(1, 3)) == 0) {
    accrete::save(svd.state(), device);
    CHECK(fs::is_character_file(device));
    CHECK(message(device).find("is a device or FIFO") != std::string::npos);
  } else {
    MESSAGE("skipped: this user may not make a device");
  }
  if (fs::exists("/dev/full")) {
    fs::create_symlink("/dev/full", folder / "full");
    CHECK_THROWS_AS(accrete::save(svd.state(), folder / "full"), accrete::Error);
    CHECK(fs::is_symlink(folder / "full"));
  } else {
    MESSAGE("skipped: no full device here");
  }

  const std::string fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(accrete::save(svd.state(), fifo), doctest::Contains("nobody reads"),
                       accrete::Error);
  CHECK(message(fifo).find("is a device or FIFO") != std::string::npos);
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  accrete::save(svd.state(), fifo);
  std::string text(1 << 16, ' ');
  CHECK(::read(reader, text.data(), text.size()) ==
        static_cast<::ssize_t>(fs::file_size(folder / "target")));
  ::close(reader);
  CHECK(fs::is_fifo(fifo));
}

TEST_CASE("numbers that do not belong together are refused, whatever the length of the file") {
  const TemporaryFolder folder;
  const std::string path = folder / "stream";
  Stream svd(6);
  svd.append_columns(on_backend(Eigen::MatrixXd::Random(6, 5)));
  using Header = accrete::detail::SVDFileHeader;
  const auto damaged = [&](const auto& damage) {
    accrete::save(svd.state(), path);
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    Header header;
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    damage(header, file);
    file.seekp(0);
    file.write(reinterpret_cast<const char*>(&header), sizeof header);
    file.close();
    return message(path);
  };
  CHECK(damaged([](Header&, std::fstream&) {}).empty());
  // As many entries as before, in U and V of other shapes.
  CHECK(damaged([](Header& header, std::fstream&) {
          header.rows = 1;
          header.cols = 10;
        }) == "accrete: IncrementalSVD state: 5 singular values of an X of 1 x 10 with max_rank = "
              "9223372036854775807; the state is damaged");
  CHECK(damaged([](Header& header, std::fstream&) { header.max_rank = 4; }).find("max_rank = 4") !=
        std::string::npos);
  CHECK(damaged([](Header& header, std::fstream&) {
          header.run = std::int64_t{1} << 32;
        }).find("damaged") != std::string::npos);
  CHECK(damaged([](Header& header, std::fstream&) { header.keep_v = 3; }).find("damaged") !=
        std::string::npos);
  CHECK(damaged([](Header&, std::fstream& file) {
          const double wrong = 0.9;
          file.seekp(static_cast<std::streamoff>(sizeof(Header) + 5 * sizeof(double)));
          file.write(reinterpret_cast<const char*>(&wrong), sizeof wrong); // U(0, 0)
        }).find("orthonormal") != std::string::npos);
  CHECK(damaged([](Header&, std::fstream& file) {
          file.seekp(-1, std::ios::end);
          file.put('x');
        }).find("end") != std::string::npos);
}

TEST_CASE("links and devices are written through") {
  const TemporaryFolder folder;
  const std::string path = folder / "stream";
  const std::string link = folder / "link";
  Stream svd = stream(true);
  accrete::save(stream(false).state(), path);
  fs::create_symlink(path, link);
  accrete::save(svd.state(), link);
  CHECK(fs::is_symlink(link));
  CHECK(fs::is_regular_file(fs::symlink_status(path)));
  CHECK(accrete::load_incremental_svd<double>(path).options.keep_v);
  if (fs::exists("/dev/null")) {
    const std::string device = folder / "device";
    fs::create_symlink("/dev/null", device);
    accrete::save(svd.state(), device);
    CHECK(fs::is_symlink(device));
    CHECK(fs::is_character_file("/dev/null"));
  } else {
    MESSAGE("skipped: no null device here");
  }
}
