// SPDX-License-Identifier: MIT
#include "app/safetensors.hpp"
#include "tests/app_support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using accrete::dense_view;
using accrete::View;
using gpt::FileError;
namespace st = gpt::safetensors;

namespace {

/// Header and data as a file, to forge broken ones.
void write_raw(const gpt::fs::path& path, const std::string& header, std::size_t data_bytes) {
  const std::uint64_t size = header.size();
  std::string text(reinterpret_cast<const char*>(&size), sizeof size);
  text += header + std::string(data_bytes, '\0');
  gpt::test::write_text(path, text);
}

void check_rejected(const gpt::fs::path& path, const std::string& part) {
  const std::string message =
      gpt::test::message_of<FileError>([&] { const st::Reader reader(path); });
  CHECK_MESSAGE(message.find(part) != std::string::npos, message);
  CHECK_MESSAGE(message.find(path.string()) != std::string::npos, message);
}

template <class Scalar>
void write_matrix(const gpt::fs::path& path, const std::vector<Scalar>& values) {
  st::Writer writer;
  writer.add("weight", View<const Scalar>(dense_view(values.data(), 2, 3)));
  writer.write(path);
}

} // namespace

TEST_CASE_TEMPLATE("safetensors: a tensor comes back bit for bit", Scalar, float, double) {
  const TemporaryFolder folder;
  const std::vector<Scalar> values{Scalar(0.1), Scalar(-2), Scalar(1e-30), 4, 5, 6};
  write_matrix(folder / "a.safetensors", values);

  const st::Reader reader(folder / "a.safetensors");
  std::vector<Scalar> back(6);
  reader.read("weight", dense_view(back.data(), 2, 3));

  CHECK(back == values);
  CHECK(reader.info("weight").shape == st::Shape{3, 2});
}

TEST_CASE("safetensors: views with a stride, vectors and metadata come back") {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8};
  st::Writer writer;
  writer.set_metadata("format", "pt");
  writer.add("block", View<const float>{values.data(), 2, 2, 4, accrete::Order::column_major});
  writer.add("steps", std::vector<std::int64_t>{7, 8, 9});
  writer.write(folder / "a.safetensors");

  const st::Reader reader(folder / "a.safetensors");
  std::vector<float> back(8, 0.0F);
  reader.read("block", View<float>{back.data(), 2, 2, 4, accrete::Order::column_major});

  CHECK(back == std::vector<float>{1, 2, 0, 0, 5, 6, 0, 0});
  CHECK(reader.read_vector<std::int64_t>("steps") == std::vector<std::int64_t>{7, 8, 9});
  CHECK(reader.metadata().at("format") == "pt");
}

TEST_CASE("safetensors: the header is padded to eight bytes") {
  const TemporaryFolder folder;
  write_matrix(folder / "a.safetensors", std::vector<float>(6));
  const std::string text = gpt::InputFile(folder / "a.safetensors").read_all();
  std::uint64_t header = 0;
  std::memcpy(&header, text.data(), sizeof header);
  CHECK(header % 8 == 0);
  CHECK(text.size() == 8 + header + 24);
}

TEST_CASE("safetensors: truncated files are rejected") {
  const TemporaryFolder folder;
  const gpt::fs::path path = folder / "a.safetensors";
  write_matrix(path, std::vector<double>(6));
  const auto size = gpt::fs::file_size(path);
  for (std::uintmax_t length = 0; length < size; ++length) {
    CAPTURE(length);
    gpt::fs::resize_file(path, length);
    CHECK_THROWS_AS(st::Reader{path}, FileError);
    write_matrix(path, std::vector<double>(6));
  }
}

TEST_CASE("safetensors: foreign and damaged files are rejected with file and reason") {
  const TemporaryFolder folder;
  const gpt::fs::path path = folder / "a.safetensors";
  gpt::test::write_text(path, "PK\3\4 surely not a safetensors file");
  check_rejected(path, "no safetensors file");
  write_raw(path, "[1, 2]", 0);
  check_rejected(path, "no JSON header");
  write_raw(path, R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4);
  check_rejected(path, "tensor 'a'");
  write_raw(path, R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8);
  check_rejected(path, "does not fill");
  write_raw(path, R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8);
  check_rejected(path, "without dtype, shape and data_offsets");
  write_raw(path, R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
            0);
  check_rejected(path, "does not fill");
  write_raw(path, R"({"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}})", 8);
  check_rejected(path, "F16");
  write_raw(path, R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 12);
  check_rejected(path, "after its last tensor");
  write_raw(path,
            R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            8);
  check_rejected(path, "overlapping");
}

TEST_CASE("safetensors: an announced header beyond the file or the limit is rejected") {
  const TemporaryFolder folder;
  const gpt::fs::path path = folder / "a.safetensors";
  for (const std::uint64_t size : {std::uint64_t{1} << 62U, std::uint64_t{99'999'999}}) {
    std::string text(reinterpret_cast<const char*>(&size), sizeof size);
    gpt::test::write_text(path, text + "{}");
    check_rejected(path, "announces a header");
  }
}

TEST_CASE("safetensors: another shape, type or name is refused with both shapes") {
  const TemporaryFolder folder;
  const gpt::fs::path path = folder / "a.safetensors";
  write_matrix(path, std::vector<float>(6));
  const st::Reader reader(path);
  std::vector<float> data(12);
  std::vector<double> wide(6);
  const auto message = [](const auto& call) { return gpt::test::message_of<FileError>(call); };

  const std::string shape = message([&] { reader.read("weight", dense_view(data.data(), 4, 3)); });
  const std::string type = message([&] { reader.read("weight", dense_view(wide.data(), 2, 3)); });
  const std::string name = message([&] { reader.read("bias", dense_view(data.data(), 2, 3)); });

  CHECK_MESSAGE(shape.find("[3, 2], the model needs [3, 4]") != std::string::npos, shape);
  CHECK_MESSAGE(type.find("F32, F64 is needed") != std::string::npos, type);
  CHECK_MESSAGE(name.find("no tensor 'bias'") != std::string::npos, name);
}
