// SPDX-License-Identifier: MIT
#include "app/text_data.hpp"
#include "tests/app_support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using gpt::FileError;
using gpt::TextData;
using gpt::TextError;
using gpt::test::contains;
using gpt::test::message_of;

namespace {

std::string message_for(const std::string& text, std::int64_t context) {
  const TemporaryFolder folder;
  gpt::test::write_text(folder / "text.txt", text);
  return message_of<TextError>([&] { (void)TextData::load(folder / "text.txt", context); });
}

} // namespace

TEST_CASE("text: the vocabulary is the sorted distinct bytes and the split is int(0.9 n)") {
  const TemporaryFolder folder;
  gpt::test::write_text(folder / "text.txt", "banana\xff band");

  const TextData data = TextData::load(folder / "text.txt", 1);

  CHECK(data.vocabulary().bytes() == " abdn\xff");
  CHECK(data.train().size() == 10);
  CHECK(data.validation().size() == 2);
  CHECK(data.train()[0] == 2);
  CHECK(data.vocabulary().decode(data.train()[6]) == '\xff');
}

TEST_CASE("text: missing, unreadable and empty files are told apart") {
  const TemporaryFolder folder;
  const auto load = [](const gpt::fs::path& path) { (void)TextData::load(path, 4); };
  const std::string missing = message_of<FileError>([&] { load(folder / "none.txt"); });
  const std::string directory = message_of<FileError>([&] { load(folder.path()); });

  CHECK_MESSAGE(missing.find("No such file") != std::string::npos, missing);
  CHECK_MESSAGE(directory.find("folder") != std::string::npos, directory);
  CHECK(message_for("", 4).find("empty") != std::string::npos);
}

TEST_CASE("text: what may have no end is not read to it") {
  const auto open = [](const char* name) {
    return message_of<FileError>([&] { const gpt::InputFile file(name); });
  };
  for (const char* device : {"/dev/zero", "/dev/null"}) {
    CHECK(contains(open(device), "it is a device; name a file"));
  }

  const TemporaryFolder folder;
  const gpt::fs::path fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const gpt::FileDescriptor writer(::open(fifo.c_str(), O_RDWR)); // which does not end
  const std::string text(3000, 'x');
  REQUIRE(::write(writer.get(), text.data(), text.size()) == 3000);
  const std::string message =
      message_of<FileError>([&] { (void)gpt::InputFile(fifo).read_all(2999); });
  CHECK_MESSAGE(contains(message, "more than 2999 bytes come out of it"), message);
}

TEST_CASE("text: a short text says how many characters are needed, and that many suffice") {
  const std::string message = message_for(std::string(640, 'a'), 64);
  CHECK_MESSAGE(message.find("641 characters") != std::string::npos, message);
  CHECK_MESSAGE(message.find("--context 63") != std::string::npos, message);
  CHECK(message_for(std::string(641, 'a'), 64).empty());
  CHECK(message_for("a", 64).find("641 characters; use a longer text") != std::string::npos);
}

TEST_CASE("text: a character outside a given vocabulary is named with its position") {
  const gpt::Vocabulary vocabulary("abc");
  const std::string letter = message_of<TextError>([&] { (void)vocabulary.encode("abd"); });
  const std::string byte = message_of<TextError>([&] { (void)vocabulary.encode("\n"); });
  CHECK_MESSAGE(letter.find("'d' at position 2") != std::string::npos, letter);
  CHECK_MESSAGE(byte.find("0x0a at position 0") != std::string::npos, byte);
}

TEST_CASE("text: targets are the tokens one further, at every offset up to the last") {
  const std::vector<gpt::Token> text{0, 1, 2, 3, 4, 5};
  gpt::Batch batch;
  batch.resize(200, 4);
  gpt::RandomStream random(1, 0);
  gpt::draw_batch(batch, text, random);

  bool first = false;
  bool last = false;
  for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
    REQUIRE(batch.targets[i] == batch.tokens[i] + 1);
    first = first || (i % 4 == 0 && batch.tokens[i] == 0);
    last = last || batch.targets[i] == 5;
  }
  CHECK(first);
  CHECK(last);
}

TEST_CASE("text: a random stream continues from its position and streams differ") {
  gpt::RandomStream a(7, 0);
  for (int i = 0; i < 10; ++i) {
    (void)a.next();
  }
  gpt::RandomStream b(7, 0);
  b.seek(a.position());
  CHECK(a.next() == b.next());
  CHECK(gpt::RandomStream(7, 1).next() != gpt::RandomStream(7, 0).next());
  CHECK(gpt::RandomStream(8, 0).next() != gpt::RandomStream(7, 0).next());
}
