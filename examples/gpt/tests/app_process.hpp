// SPDX-License-Identifier: MIT
#pragma once

#include "tests/app_support.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>

/// Runs of the program, for tests of it as a whole.
namespace gpt::test {

using fs::path;
using Arguments = std::vector<std::string>;
using Json = nlohmann::json;

/// The program that was built beside this test; GPT_PROGRAM overrides it.
inline path program() {
  if (const char* set = std::getenv("GPT_PROGRAM")) {
    return set;
  }
  return fs::read_symlink("/proc/self/exe").parent_path() / "gpt";
}

struct Result {
  int status = 0;
  std::string output;
  std::string errors;
};

/// A run of the program with its output in files.
class Process {
 public:
  explicit Process(const Arguments& arguments, rlim_t largest_file = RLIM_INFINITY) {
    std::vector<std::string> words{program().string()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) {
      pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    const path output = folder_ / "output";
    const path errors = folder_ / "errors";
    // They are there before the process is.
    for (const path& file : {output, errors}) {
      write_text(file, "");
    }
    id_ = ::fork();
    if (id_ == 0) {
      ::dup2(::open(output.c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
      ::dup2(::open(errors.c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
      const rlimit limit{largest_file, largest_file};
      if (largest_file != RLIM_INFINITY) {
        ::setrlimit(RLIMIT_FSIZE, &limit);
      }
      ::execv(pointers[0], pointers.data());
      ::_exit(127);
    }
  }

  void kill(int signal) const { ::kill(id_, signal); }

  /// It has ended, and wait() will not block.
  [[nodiscard]] bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<::id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == id_;
  }

  Result wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read("output"),
            read("errors")};
  }

  [[nodiscard]] std::string output() const { return read("output"); }
  [[nodiscard]] std::string errors() const { return read("errors"); }

 private:
  [[nodiscard]] std::string read(const char* name) const {
    return InputFile(folder_ / name).read_all();
  }

  TemporaryFolder folder_;
  ::pid_t id_ = -1;
};

inline Result run(const Arguments& arguments) { return Process(arguments).wait(); }

inline Arguments operator+(Arguments left, const Arguments& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

inline void check_fails(const Arguments& arguments, int status, const std::string& part) {
  const Result result = run(arguments);
  CHECK(result.status == status);
  CHECK_MESSAGE(contains(result.errors, part), result.errors);
}

/// A text and the options of a model that trains in milliseconds.
struct Fixture {
  Fixture() { write_text(text, sample_text(3000)); }

  [[nodiscard]] Arguments train(const Arguments& more = {}) const {
    return Arguments{"train", "--data",         text.string(), "--n-layer",
                     "1",     "--n-head",       "2",           "--width",
                     "16",    "--context",      "8",           "--batch",
                     "4",     "--eval-iters",   "2",           "--threads",
                     "1",     "--log-interval", "1000000",     "--warmup",
                     "5"} +
           more;
  }
  [[nodiscard]] std::string name(const std::string& file) const { return (folder / file).string(); }

  TemporaryFolder folder;
  path text = folder / "text.txt";
};

inline std::vector<Json> records_of(const path& file) {
  std::vector<Json> records;
  const std::string text = InputFile(file).read_all();
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    records.push_back(Json::parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return records;
}

/// Until the condition holds or the process ends, however slow the machine is; the test runner's
/// time limit is the only one.
inline bool wait_for(const Process& process, const std::function<bool()>& condition) {
  while (!condition()) {
    if (process.ended()) {
      return condition();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Of the records of a metrics file, by step.
inline std::map<long, double> train_losses_of(const path& file) {
  std::map<long, double> losses;
  for (const Json& record : records_of(file)) {
    losses[record["step"].get<long>()] = record["train_loss"].get<double>();
  }
  return losses;
}

} // namespace gpt::test
