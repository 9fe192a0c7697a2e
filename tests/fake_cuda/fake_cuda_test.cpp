// SPDX-License-Identifier: MIT
#include "fake_gpu_test.hpp"

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fcntl.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

using namespace fake_cuda_test;

namespace {

void fill(cudaStream_t stream, float* values, std::size_t count, float value) {
  ok(fake_cuda::launch(stream, "fill",
                       [=] { std::fill_n(fake_cuda::local(values, count), count, value); }));
}
void add_one(cudaStream_t stream, float* values, std::size_t count) {
  ok(fake_cuda::launch(stream, "add_one", [=] {
    for (float* entry = fake_cuda::local(values, count); auto& value : std::span(entry, count)) {
      value += 1;
    }
  }));
}

/// What AddressSanitizer would notice before the red zones do.
#ifdef __SANITIZE_ADDRESS__
__attribute__((no_sanitize_address))
#endif
void write_beside(float* values, std::ptrdiff_t offset) {
  values[offset] = 0;
}

template <class Touch>
bool is_signalled(Touch&& touch) {
  const pid_t child = fork();
  if (child == 0) {
    static_cast<void>(dup2(open("/dev/null", O_WRONLY), STDERR_FILENO)); // what a sanitizer says
    std::signal(SIGSEGV, SIG_DFL);
    std::signal(SIGBUS, SIG_DFL);
    touch();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) || WEXITSTATUS(status) != 0; // sanitizers exit
}

} // namespace

TEST_CASE("there are two devices, and texts for errors") {
  fake_cuda::reset();
  int value = -1;
  ok(cudaGetDeviceCount(&value));
  CHECK_EQ(value, 2);
  ok(cudaGetDevice(&value));
  CHECK_EQ(value, 0);
  ok(cudaSetDevice(1));
  ok(cudaGetDevice(&value));
  CHECK_EQ(value, 1);
  ok(cudaSetDevice(0));
  CHECK_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  CHECK_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  CHECK_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  CHECK_EQ(cudaGetLastError(), cudaSuccess);
  ok(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0));
  CHECK_EQ(value, 9);
  ok(cudaRuntimeGetVersion(&value));
  CHECK_EQ(value, CUDART_VERSION);
  ok(cudaDriverGetVersion(&value));
  CHECK_GE(value, CUDART_VERSION);
  CHECK_EQ(std::string(cudaGetErrorName(cudaErrorIllegalAddress)), "cudaErrorIllegalAddress");
  CHECK_EQ(std::string(cudaGetErrorString(cudaErrorMemoryAllocation)), "out of memory");

  cudaMemPool_t pool = nullptr;
  ok(cudaDeviceGetDefaultMemPool(&pool, 0));
  std::uint64_t threshold = UINT64_MAX;
  ok(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  CHECK_EQ(fake_cuda::log().back(), "cudaMemPoolSetAttribute " + std::to_string(threshold));
  CHECK_EQ(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, nullptr),
           cudaErrorInvalidValue);
}

TEST_CASE("work runs at a synchronisation, not before") {
  fake_cuda::reset();
  const Stream stream;
  Buffer<float> values(stream, 4);
  float* pinned = nullptr;
  ok(cudaMallocHost(&pinned, 4 * sizeof(float)));
  fill(stream, values, 4, 7);
  ok(cudaMemcpyAsync(pinned, values, 4 * sizeof(float), cudaMemcpyDeviceToHost, stream));
  CHECK(std::isnan(pinned[3])); // a result that is read too early
  CHECK_EQ(fake_cuda::counters().synchronizations, 0);
  ok(cudaStreamSynchronize(stream));
  CHECK_EQ(pinned[3], 7);
  CHECK_EQ(fake_cuda::counters().synchronizations, 1);
  CHECK_EQ(fake_cuda::counters().hidden_synchronizations, 0);
  ok(cudaFreeHost(pinned));
}

TEST_CASE("pinned memory is read when the copy runs, pageable memory when it is called") {
  fake_cuda::reset();
  const Stream stream;
  Buffer<float> values(stream, 2);
  float* pinned = nullptr;
  ok(cudaMallocHost(&pinned, sizeof(float)));
  float pageable = 1;
  *pinned = 2;
  ok(cudaMemcpyAsync(values, &pageable, sizeof(float), cudaMemcpyHostToDevice, stream));
  ok(cudaMemcpyAsync(values + 1, pinned, sizeof(float), cudaMemcpyHostToDevice, stream));
  pageable = 3;
  CHECK_EQ(fake_cuda::counters().hidden_synchronizations, 1);
  float result[2] = {};
  ok(cudaMemcpyAsync(result, values, sizeof result, cudaMemcpyDeviceToHost, stream));
  CHECK_EQ(result[0], 1); // it has waited
  CHECK_EQ(result[1], 2);
  CHECK_EQ(fake_cuda::counters().hidden_synchronizations, 2);

  *pinned = 4;
  ok(cudaMemcpyAsync(pinned, values, sizeof(float), cudaMemcpyDeviceToHost, stream));
  CHECK(std::isnan(*pinned)); // not yet the result, and not what was there before
  ok(cudaMemcpyAsync(values + 1, pinned, sizeof(float), cudaMemcpyHostToDevice, stream));
  ok(cudaStreamSynchronize(stream)); // the order of the stream is enough for the device
  CHECK_EQ(*pinned, 1);
  CHECK_EQ(values.download(stream, 1), 1);

  ok(cudaMemcpyAsync(values, pinned, sizeof(float), cudaMemcpyHostToDevice, stream));
  *pinned = 5;
  CHECK_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the host changed pinned memory, 4 x 1 bytes");
  fake_cuda::reset();
}

TEST_CASE("pinned memory cannot be touched once it is given back") {
  fake_cuda::reset();
  const Stream stream;
  Buffer<float> values(stream, 1);
  float* pinned = nullptr;
  ok(cudaMallocHost(&pinned, sizeof(float)));
  ok(cudaMemcpyAsync(pinned, values, sizeof(float), cudaMemcpyDeviceToHost, stream));
  ok(cudaFreeHost(pinned)); // waits
  CHECK(is_signalled([&] { *static_cast<volatile float*>(pinned) = 0; }));
  CHECK_EQ(cudaMemcpyAsync(pinned, values, sizeof(float), cudaMemcpyDeviceToHost, stream),
           cudaErrorInvalidValue);
  CHECK_CONTAINS(fake_cuda::last_fault(), "was given back");
}

TEST_CASE("an event orders two streams, and its absence shows under some seed") {
  const auto sum = [](unsigned seed, bool with_event) {
    fake_cuda::reset();
    fake_cuda::seed(seed);
    const Stream first;
    const Stream second;
    const Event made;
    const Event written;
    Buffer<float> values(first, 1);
    ok(cudaEventRecord(made, first));
    ok(cudaStreamWaitEvent(second, made, 0)); // the allocation at least
    fill(first, values, 1, 1);
    ok(cudaEventRecord(written, first));
    if (with_event) {
      ok(cudaStreamWaitEvent(second, written, 0));
    }
    add_one(second, values, 1);
    const float result = values.download(second);
    ok(cudaStreamSynchronize(first));
    return result;
  };
  bool wrong = false;
  bool right = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    CHECK_EQ(sum(seed, true), 2);
    const float result = sum(seed, false);
    (result == 2 ? right : wrong) = true;
    const float again = sum(seed, false); // a seed's order is always the same
    CHECK((again == result || (std::isnan(again) && std::isnan(result))));
  }
  CHECK(wrong);
  CHECK(right);
}

TEST_CASE("an allocation is used on another stream without an event") {
  bool noticed = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    fake_cuda::reset();
    fake_cuda::seed(seed);
    const Stream first;
    const Stream second;
    Buffer<float> values(first, 1);
    fill(second, values, 1, 1);
    const auto status = cudaStreamSynchronize(second);
    if (status != cudaSuccess) {
      CHECK_EQ(status, cudaErrorIllegalAddress);
      CHECK_CONTAINS(fake_cuda::last_fault(), "in the work of fill: 4 bytes");
      CHECK_CONTAINS(fake_cuda::last_fault(), "not allocated yet");
      CHECK_EQ(cudaStreamSynchronize(first), cudaErrorIllegalAddress); // and so on
      CHECK_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
      CHECK_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
      noticed = true;
    }
  }
  CHECK(noticed);
  fake_cuda::reset();
  ok(cudaGetLastError());
}

TEST_CASE("memory is freed in the order of its stream") {
  fake_cuda::reset();
  const Stream stream;
  float* values = nullptr;
  ok(cudaMallocAsync(&values, 4, stream));
  fill(stream, values, 1, 1);
  ok(cudaFreeAsync(values, stream));
  ok(cudaStreamSynchronize(stream)); // the fill came before
  CHECK_EQ(cudaFreeAsync(values, stream), cudaErrorInvalidValue);
  CHECK_CONTAINS(fake_cuda::last_fault(), "was given back before");
  CHECK_EQ(cudaMemsetAsync(values, 0, 4, stream), cudaErrorInvalidValue); // used after it
  CHECK_CONTAINS(fake_cuda::last_fault(), "which was given back");
  fill(stream, values, 1, 1);
  CHECK_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  CHECK_CONTAINS(fake_cuda::last_fault(), "freed");
  fake_cuda::reset();
}

TEST_CASE("a stream frees what another still uses") {
  bool noticed = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    fake_cuda::reset();
    fake_cuda::seed(seed);
    const Stream first;
    const Stream second;
    float* values = nullptr;
    ok(cudaMallocAsync(&values, 4, first));
    ok(cudaStreamSynchronize(first));
    fill(second, values, 1, 1);
    ok(cudaFreeAsync(values, first));
    noticed = cudaDeviceSynchronize() == cudaErrorIllegalAddress || noticed;
  }
  CHECK(noticed);
  fake_cuda::reset();
}

TEST_CASE("the host cannot touch memory of the device") {
  fake_cuda::reset();
  const Stream stream;
  Buffer<float> values(stream, 1);
  ok(cudaStreamSynchronize(stream));
  CHECK(is_signalled([&] { *static_cast<volatile float*>(values) = 0; }));
  CHECK(is_signalled([&] { static_cast<void>(*static_cast<volatile float*>(values)); }));
  CHECK_FALSE(is_signalled([] {}));
  CHECK_THROWS_AS(static_cast<void>(fake_cuda::local(static_cast<float*>(values))),
                  std::logic_error);
  cudaPointerAttributes attributes{};
  ok(cudaPointerGetAttributes(&attributes, values));
  CHECK_EQ(attributes.type, cudaMemoryTypeDevice);
  CHECK_EQ(attributes.devicePointer, static_cast<float*>(values));
  ok(cudaPointerGetAttributes(&attributes, &attributes));
  CHECK_EQ(attributes.type, cudaMemoryTypeUnregistered);
}

TEST_CASE("a device reaches its own memory alone, by copies that of the other") {
  fake_cuda::reset();
  const Stream first;
  Buffer<float> here(first, std::vector<float>{1});
  ok(cudaSetDevice(1));
  const Stream second;
  const Event event;
  Buffer<float> there(second, 1);
  const auto device_of = [](const void* pointer) {
    cudaPointerAttributes attributes{};
    ok(cudaPointerGetAttributes(&attributes, pointer));
    return attributes.device;
  };
  CHECK_EQ(device_of(here), 0);
  CHECK_EQ(device_of(there), 1); // where its stream is
  ok(cudaStreamSynchronize(first));
  ok(cudaMemcpyAsync(there, here, sizeof(float), cudaMemcpyDeviceToDevice, second));
  add_one(second, there, 1);
  CHECK_EQ(there.download(second), 2);

  CHECK_EQ(cudaEventRecord(event, first), cudaErrorInvalidResourceHandle);
  CHECK_CONTAINS(fake_cuda::last_fault(),
                 "the event is one of device 1, the stream one of device 0");
  CHECK_EQ(fake_cuda::launch(first, "kernel", [] {}), cudaErrorInvalidResourceHandle);
  CHECK_CONTAINS(fake_cuda::last_fault(), "the stream is one of device 0");
  ok(cudaSetDevice(0));
  add_one(first, there, 1);
  CHECK_EQ(cudaStreamSynchronize(first), cudaErrorIllegalAddress);
  CHECK_CONTAINS(fake_cuda::last_fault(), "lie on device 1, which device 0 does not reach");
  fake_cuda::reset();
}

TEST_CASE("a synchronisation of a device waits for its streams alone") {
  bool waited = false;
  bool apart = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    fake_cuda::reset();
    fake_cuda::seed(seed);
    bool done[2] = {};
    const Stream first;
    ok(fake_cuda::launch(first, "first", [&] { done[0] = true; }));
    ok(cudaSetDevice(1));
    const Stream second;
    ok(fake_cuda::launch(second, "second", [&] { done[1] = true; }));
    ok(cudaDeviceSynchronize());
    CHECK(done[1]);
    (done[0] ? waited : apart) = true;
    ok(cudaStreamSynchronize(first));
  }
  CHECK(waited);
  CHECK(apart);
  fake_cuda::reset();
}

TEST_CASE("memory is NaN until it is written") {
  fake_cuda::reset();
  const Stream stream;
  Buffer<float> values(stream, 1);
  Buffer<double> doubles(stream, 1);
  CHECK(std::isnan(values.download(stream)));
  CHECK(std::isnan(doubles.download(stream)));
}

TEST_CASE("a kernel is given what is not live memory of the device") {
  const auto fault_of = [](auto&& body) {
    const Stream stream;
    ok(fake_cuda::launch(stream, "kernel", body));
    CHECK_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    const auto fault = fake_cuda::last_fault();
    fake_cuda::reset();
    return fault;
  };
  fake_cuda::reset();
  float host = 0;
  CHECK_CONTAINS(fault_of([&] { static_cast<void>(fake_cuda::local(&host)); }),
                 "are not memory of the device but pageable memory of the host");
  float* values = nullptr;
  ok(cudaMallocHost(&values, 4));
  CHECK_CONTAINS(fault_of([=] { static_cast<void>(fake_cuda::local(values)); }),
                 "pinned memory of the host");
  ok(cudaMalloc(&values, 12));
  CHECK_CONTAINS(fault_of([=] { static_cast<void>(fake_cuda::local(values + 1, 3)); }),
                 "go 4 bytes beyond their allocation of 12");
  ok(cudaMalloc(&values, 12));
  CHECK_CONTAINS(fault_of([=] { static_cast<void>(fake_cuda::local(values - 1)); }),
                 "in no allocation");
  CHECK_EQ(cudaMemsetAsync(&host, 0, 4, nullptr), cudaErrorInvalidValue);
}

TEST_CASE("red zones tell what a kernel writes beside its memory") {
  for (const std::ptrdiff_t offset : {-1, 3}) {
    fake_cuda::reset();
    const Stream stream;
    float* values = nullptr;
    ok(cudaMallocAsync(&values, 3 * sizeof(float), stream));
    ok(fake_cuda::launch(stream, "stray", [=] { write_beside(fake_cuda::local(values), offset); }));
    ok(cudaStreamSynchronize(stream));
    ok(cudaFreeAsync(values, stream));
    CHECK_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    CHECK_CONTAINS(fake_cuda::last_fault(), "wrote outside of the block of 12 bytes");
  }
  fake_cuda::reset();
}

#ifdef __SANITIZE_ADDRESS__
TEST_CASE("AddressSanitizer stops a kernel that reads beside its memory") {
  for (const std::ptrdiff_t offset : {-1, 2, 3}) {
    fake_cuda::reset();
    const Stream stream;
    Buffer<float> values(stream, 3);
    const auto read = [&] {
      ok(fake_cuda::launch(stream, "stray", [&] {
        static_cast<void>(*const_cast<volatile float*>(fake_cuda::local(+values) + offset));
      }));
      ok(cudaStreamSynchronize(stream));
    };
    CHECK_EQ(is_signalled(read), offset != 2);
  }
}

TEST_CASE("AddressSanitizer stops the host beside pinned memory") {
  fake_cuda::reset();
  float* pinned = nullptr;
  ok(cudaMallocHost(&pinned, 3 * sizeof(float)));
  CHECK_FALSE(is_signalled([&] { static_cast<volatile float*>(pinned)[2] = 0; }));
  CHECK(is_signalled([&] { static_cast<volatile float*>(pinned)[3] = 0; }));
  ok(cudaFreeHost(pinned));
}
#endif

TEST_CASE("copies are checked as the real library does") {
  fake_cuda::reset();
  const Stream stream;
  Buffer<float> values(stream, 12);
  float host[12] = {};
  const auto copy = [&](float* to, std::size_t to_pitch, const float* from, std::size_t from_pitch,
                        std::size_t width, std::size_t height, cudaMemcpyKind kind) {
    return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, stream);
  };
  ok(copy(values, 16, host, 12, 12, 3, cudaMemcpyHostToDevice)); // the last row may end early
  CHECK_EQ(copy(values, 8, host, 12, 12, 3, cudaMemcpyHostToDevice), cudaErrorInvalidPitchValue);
  CHECK_EQ(copy(values, 20, host, 12, 12, 3, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CHECK_CONTAINS(fake_cuda::last_fault(), "go 4 bytes beyond");
  CHECK_EQ(copy(values, 16, host, 12, 12, 3, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  CHECK_CONTAINS(fake_cuda::last_fault(), "from host to device");
  CHECK_EQ(cudaMemcpyAsync(host, values, 4, static_cast<cudaMemcpyKind>(7), stream),
           cudaErrorInvalidMemcpyDirection);
  ok(copy(values, 16, host, 12, 0, 3, cudaMemcpyHostToDevice));
  ok(cudaMemsetAsync(values, 0, 48, stream));
  CHECK_EQ(cudaMemsetAsync(values, 0, 49, stream), cudaErrorInvalidValue);
  CHECK_EQ(values.download(stream, 11), 0);

  for (int index = 0; index < 12; ++index) {
    host[index] = static_cast<float>(index);
  }
  ok(copy(values, 16, host, 12, 12, 3, cudaMemcpyHostToDevice));
  CHECK_EQ(values.download(stream, 3), 0);
  CHECK_EQ(values.download(stream, 9), 7); // second of the third row
}

TEST_CASE("the legacy default stream is ordered with blocking streams alone") {
  bool overtaken = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    fake_cuda::reset();
    fake_cuda::seed(seed);
    const Stream apart;
    cudaStream_t blocking = nullptr;
    ok(cudaStreamCreateWithFlags(&blocking, cudaStreamDefault));
    std::string order;
    const auto note = [&](cudaStream_t stream, char letter) {
      ok(fake_cuda::launch(stream, "note", [&order, letter] { order += letter; }));
    };
    note(blocking, 'a');
    note(nullptr, 'b');
    note(blocking, 'c');
    note(apart, 'x');
    ok(cudaDeviceSynchronize());
    overtaken = order.front() == 'x' || overtaken;
    std::erase(order, 'x');
    CHECK_EQ(order, "abc");
    ok(cudaStreamDestroy(blocking));
  }
  CHECK(overtaken);
}

TEST_CASE("events tell the time and whether work has passed") {
  fake_cuda::reset();
  const Stream stream;
  cudaEvent_t start = nullptr;
  cudaEvent_t end = nullptr;
  ok(cudaEventCreateWithFlags(&start, cudaEventDefault));
  ok(cudaEventCreateWithFlags(&end, cudaEventDefault));
  ok(cudaEventQuery(start)); // never recorded
  float time = 0;
  CHECK_EQ(cudaEventElapsedTime(&time, start, end), cudaErrorInvalidResourceHandle);
  ok(cudaEventRecord(start, stream));
  ok(fake_cuda::launch(stream, "nothing", [] {}));
  ok(cudaEventRecord(end, stream));
  CHECK_EQ(cudaEventElapsedTime(&time, start, end), cudaErrorNotReady);
  ok(cudaEventSynchronize(end));
  ok(cudaEventElapsedTime(&time, start, end));
  CHECK_GT(time, 0);
  ok(fake_cuda::launch(stream, "nothing", [] {}));
  int polls = 0;
  for (; cudaStreamQuery(stream) == cudaErrorNotReady; ++polls) {
    REQUIRE_LT(polls, 1000);
  }
  const Event untimed;
  ok(cudaEventRecord(untimed, stream));
  ok(cudaEventSynchronize(untimed));
  CHECK_EQ(cudaEventElapsedTime(&time, start, untimed), cudaErrorInvalidResourceHandle);
  ok(cudaEventDestroy(start));
  ok(cudaEventDestroy(end));
  CHECK_EQ(cudaEventRecord(end, stream), cudaErrorInvalidResourceHandle);
}

TEST_CASE("a host function and a kernel may not call the library") {
  fake_cuda::reset();
  const Stream stream;
  auto status = cudaSuccess;
  ok(cudaLaunchHostFunc(
      stream, [](void* to) { *static_cast<cudaError_t*>(to) = cudaDeviceSynchronize(); }, &status));
  CHECK_EQ(status, cudaSuccess);
  ok(cudaStreamSynchronize(stream));
  CHECK_EQ(status, cudaErrorNotPermitted);
}

TEST_CASE("work of a destroyed stream runs") {
  fake_cuda::reset();
  cudaStream_t stream = nullptr;
  ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  int runs = 0;
  ok(fake_cuda::launch(stream, "count", [&] { ++runs; }));
  ok(cudaStreamDestroy(stream));
  CHECK_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
  CHECK_EQ(fake_cuda::launch(stream, "count", [&] { ++runs; }), cudaErrorInvalidResourceHandle);
  CHECK_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  CHECK_EQ(runs, 0);
  ok(cudaDeviceSynchronize());
  CHECK_EQ(runs, 1);
}

TEST_CASE("what is not given back shows in the balance") {
  fake_cuda::reset();
  CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  float* values = nullptr;
  float* pinned = nullptr;
  ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  ok(cudaMallocAsync(&values, 20, stream));
  ok(cudaHostAlloc(reinterpret_cast<void**>(&pinned), 20, cudaHostAllocDefault));
  const auto balance = fake_cuda::balance();
  CHECK_EQ(
      balance,
      fake_cuda::Balance{
          .device_blocks = 1, .device_bytes = 20, .pinned_blocks = 1, .streams = 1, .events = 1});
  CHECK_EQ(fake_cuda::counters().device_allocations, 1);
  CHECK_EQ(fake_cuda::counters().host_allocations, 1);
  CHECK_EQ(fake_cuda::counters().hidden_synchronizations, 0);
  ok(cudaFreeAsync(values, stream));
  ok(cudaFreeHost(pinned));
  ok(cudaEventDestroy(event));
  ok(cudaStreamDestroy(stream));
  CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
  ok(cudaMalloc(&values, 20));
  ok(cudaFree(values));
  CHECK_EQ(fake_cuda::counters().hidden_synchronizations, 3); // cudaFreeHost too
}

TEST_CASE("the log has names and sizes") {
  fake_cuda::reset();
  const Stream stream;
  Buffer<float> values(stream, 3);
  fake_cuda::clear_log();
  fill(stream, values, 3, 0);
  float host[3];
  ok(cudaMemcpyAsync(host, values, 12, cudaMemcpyDeviceToHost, stream));
  CHECK_EQ(fake_cuda::log(),
           std::vector<std::string>{"fill", "cudaMemcpyAsync DeviceToHost 12 x 1"});
}

TEST_CASE("each call can be made to fail once") {
  struct Failed {};
  const auto work = [] {
    const auto check = [](cudaError_t status) {
      if (status != cudaSuccess) {
        throw Failed{};
      }
    };
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    float* values = nullptr;
    auto status = cudaMallocAsync(&values, 4, stream);
    if (status == cudaSuccess) {
      status = fake_cuda::launch(stream, "fill", [=] { *fake_cuda::local(values) = 1; });
      if (status == cudaSuccess) {
        status = cudaStreamSynchronize(stream);
      }
      ok(cudaFreeAsync(values, stream));
    }
    ok(cudaStreamDestroy(stream));
    check(status);
  };
  fake_cuda::reset();
  work();
  const long calls = fake_cuda::calls();
  CHECK_EQ(calls, 4);
  for (long n = 0; n < calls; ++n) {
    fake_cuda::fail_at(n);
    CHECK_THROWS_AS(work(), Failed);
    CHECK_EQ(fake_cuda::balance(), fake_cuda::Balance{});
    CHECK_NE(cudaGetLastError(), cudaSuccess);
  }
  fake_cuda::fail_at(-1);
  work();
  fake_cuda::fail_at(0);
  float* values = nullptr;
  CHECK_EQ(cudaMalloc(&values, 4), cudaErrorMemoryAllocation);
  ok(cudaMalloc(&values, 4)); // once
  ok(cudaFree(values));
  CHECK_EQ(fake_cuda::counters().faults, 0);
  CHECK_EQ(cudaMalloc(&values, std::size_t{1} << 50), cudaErrorMemoryAllocation);
  fake_cuda::reset();
}
