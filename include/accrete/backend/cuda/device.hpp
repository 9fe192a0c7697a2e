// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/handle.hpp>
#include <accrete/backend/cuda/matmul_plan.hpp>
#include <accrete/backend/cuda/memory.hpp>
#include <accrete/backend/cuda/ordinal.hpp>
#include <accrete/backend/device_matrix.hpp>
#include <accrete/backend/workspace.hpp>

#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// NVIDIA GPU: cuBLAS, cuSOLVER, and kernels of our own for what is done entry by entry.
struct Cuda : detail::DeviceStorage<Cuda> {
  static constexpr const char* name = "cuda";
  /// Of an H100 by its data sheet, and of launching a kernel; not measured.
  static constexpr MachineRates rates{.overhead_seconds = 4e-6,
                                      .peak_flops = 6e13,
                                      .bfloat16_flops = 7e14,
                                      .bandwidth = 3e12,
                                      .thin_side = 64};
};

/// In which precision products of float operands are computed.
enum class CudaMath : unsigned char {
  strict, ///< float
  tf32,   ///< operands rounded to ten bits of mantissa, sums in float
  bf16    ///< operands rounded to seven bits of mantissa, sums in float
};

/// Where and how a Device<Cuda> works.
struct CudaOptions {
  /// A stream of the caller's, on the device that is current; null for one of its own, which does
  /// not wait for the default stream. It must outlive the context and all storage made with it.
  cudaStream_t stream = nullptr;
  /// Null for cudaMallocAsync on the stream.
  std::shared_ptr<MemoryResource> memory = nullptr;
  CudaMath math = CudaMath::strict;
  /// Results repeat bit for bit, as far as cuBLAS and cuSOLVER promise it.
  bool deterministic = false;
};

/// Stream, handles, memory and temporaries of one GPU, the one that is current when it is made and
/// while it works (ScopedContext sees to that). Belongs to one thread at a time. Everything
/// is ordered by the stream; what comes back to the host waits for it.
template <>
class Device<Cuda> {
 public:
  Device() : Device(CudaOptions{}) {}
  explicit Device(const CudaOptions& options) : state_(std::make_unique<State>(options)) {}

  /// The number of the GPU.
  [[nodiscard]] int ordinal() const noexcept { return state_->ordinal.number(); }
  [[nodiscard]] cudaStream_t stream() const noexcept { return state_->stream->get(); }
  [[nodiscard]] Memory<Cuda> memory() const { return Memory<Cuda>(state_->memory); }
  [[nodiscard]] Arena<Cuda>& workspace() noexcept { return state_->workspace; }
  /// Of the host, for small problems that are solved there.
  [[nodiscard]] static int threads() noexcept { return 1; }
  static void set_threads(int) noexcept {}
  [[nodiscard]] CudaMath math() const noexcept { return state_->options.math; }

  /// Waits for all work of the stream.
  void synchronize() {
    detail::check_cuda(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
    state_->staging.release();
  }

  /// Seconds that the stream takes for what `calls()` gives it, by events.
  template <class Calls>
  [[nodiscard]] double seconds_of(const Calls& calls) {
    const Event start(cudaEventDefault);
    const Event end(cudaEventDefault);
    start.record(stream());
    calls();
    end.record(stream());
    detail::check_cuda(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
    float milliseconds = 0;
    detail::check_cuda(cudaEventElapsedTime(&milliseconds, start.get(), end.get()),
                       "cudaEventElapsedTime");
    return 1e-3 * static_cast<double>(milliseconds);
  }

  /// @throws ArgumentError for memory of another GPU. Does not wait, and takes no call of CUDA
  /// where the address has been seen before.
  template <class Scalar>
  void check_reachable(const View<Scalar, Cuda>& view) const {
    state_->ordinal.check(view);
  }

  /// What is given to this stream from now on waits for what the other has been given.
  void wait_for(const Device& other) {
    if (other.stream() == stream()) {
      return;
    }
    std::optional<detail::CurrentCuda> current; // an event is of the GPU of its stream
    if (!state_->ordinal.is_alone()) {
      current.emplace(other.ordinal());
    }
    const Event event(cudaEventDisableTiming);
    event.record(other.stream());
    detail::check_cuda(cudaStreamWaitEvent(stream(), event.get(), 0), "cudaStreamWaitEvent");
  }

  /// Made when it is first asked for, bound to the stream and to a workspace of its own, so that a
  /// product neither allocates nor may be captured with memory that goes away.
  [[nodiscard]] cublasHandle_t cublas() {
    if (state_->cublas == nullptr) {
      state_->make_cublas();
    }
    return state_->cublas.get();
  }
  /// Takes the stream with each call.
  [[nodiscard]] cublasLtHandle_t cublas_lt() {
    if (state_->cublas_lt == nullptr) {
      state_->make_cublas_lt();
    }
    return state_->cublas_lt.get();
  }
  /// That of cublas(): calls on one stream follow each other.
  [[nodiscard]] std::span<std::byte> cublas_workspace() {
    state_->make_cublas_memory();
    return {static_cast<std::byte*>(state_->cublas_memory), State::cublas_bytes};
  }
  [[nodiscard]] std::map<detail::CudaMatmul, detail::CudaMatmulPlan>& matmul_plans() noexcept {
    return state_->matmul_plans;
  }
  [[nodiscard]] cusolverDnHandle_t cusolver() {
    if (state_->cusolver == nullptr) {
      state_->make_cusolver();
    }
    return state_->cusolver.get();
  }
  [[nodiscard]] cusolverDnParams_t cusolver_params() {
    static_cast<void>(cusolver());
    return state_->params.get();
  }

  /// Host values, in the frame's memory of the device; without a wait.
  /// @throws ArgumentError while the stream is recorded: they would be others when it is replayed.
  template <class T, class Frame>
  [[nodiscard]] const T* uploaded(Frame& frame, std::span<const T> values) {
    refuse_recording();
    const auto count = static_cast<Index>(values.size());
    T* const target = frame.template allocate<T>(count);
    if (count > 0) {
      std::byte* const pinned = state_->staging.take(stream(), values.size_bytes());
      std::memcpy(pinned, values.data(), values.size_bytes());
      detail::check_cuda(
          cudaMemcpyAsync(target, pinned, values.size_bytes(), cudaMemcpyHostToDevice, stream()),
          "cudaMemcpyAsync", {count});
    }
    return target;
  }

  /// One value of the device, for which the host waits.
  template <class T>
  [[nodiscard]] T downloaded(const T* value) {
    std::byte* const pinned = state_->staging.take(stream(), sizeof(T));
    detail::check_cuda(cudaMemcpyAsync(pinned, value, sizeof(T), cudaMemcpyDeviceToHost, stream()),
                       "cudaMemcpyAsync", {1});
    synchronize();
    T result;
    std::memcpy(&result, pinned, sizeof(T));
    return result;
  }

 private:
  using Event = detail::CudaEvent;

  void refuse_recording() const {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    detail::check_cuda(cudaStreamIsCapturing(stream(), &status), "cudaStreamIsCapturing");
    if (status != cudaStreamCaptureStatusNone) {
      ACCRETE_THROW ArgumentError(
          "a CUDA graph cannot record what brings numbers of the host to the device (the step of "
          "AdamW, lists of columns, grouped products): call it outside of the graph");
    }
  }

  template <auto destroy>
  using Handle = detail::CudaHandle<destroy>;

  struct State {
    explicit State(const CudaOptions& with)
        : options(with),
          stream(options.stream == nullptr ? std::make_shared<detail::CudaStream>()
                                           : std::make_shared<detail::CudaStream>(options.stream)),
          memory(options.memory != nullptr ? options.memory : stream_memory(stream)),
          workspace(Memory<Cuda>(memory)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      std::optional<detail::CurrentCuda> current; // the handles are of this GPU
      if (!ordinal.is_alone()) {
        ACCRETE_TRY { current.emplace(ordinal.number()); }
        ACCRETE_CATCH(const Error&) {}
      }
      params.reset();
      cusolver.reset();
      matmul_plans.clear();
      cublas_lt.reset();
      cublas.reset(); // before its workspace
      Memory<Cuda>(memory).deallocate(cublas_memory, cublas_bytes);
    }

    /// Storage may outlive the context, and keeps the stream that it was allocated on alive.
    static std::shared_ptr<MemoryResource>
    stream_memory(const std::shared_ptr<detail::CudaStream>& stream) {
      using Kept = std::pair<std::shared_ptr<detail::CudaStream>, CudaStreamMemory>;
      const auto kept = std::make_shared<Kept>(stream, stream->get());
      return {kept, &kept->second};
    }

    /// Kept when all of it is there: where a call fails, the next use begins anew.
    void make_cublas() {
      cublasHandle_t created = nullptr;
      detail::check_cuda(cublasCreate(&created), "cublasCreate");
      Handle<cublasDestroy_v2> handle(created);
      detail::check_cuda(cublasSetStream(created, stream->get()), "cublasSetStream");
      make_cublas_memory();
      // After each SetStream, which takes the workspace away.
      detail::check_cuda(cublasSetWorkspace(created, cublas_memory, cublas_bytes),
                         "cublasSetWorkspace", {static_cast<Index>(cublas_bytes)});
      cublas = std::move(handle);
    }
    void make_cublas_lt() {
      cublasLtHandle_t created = nullptr;
      detail::check_cuda(cublasLtCreate(&created), "cublasLtCreate");
      cublas_lt.reset(created);
    }
    void make_cublas_memory() {
      if (cublas_memory == nullptr) {
        cublas_memory = Memory<Cuda>(memory).allocate(cublas_bytes);
      }
    }
    void make_cusolver() {
      cusolverDnHandle_t created = nullptr;
      detail::check_cuda(cusolverDnCreate(&created), "cusolverDnCreate");
      Handle<cusolverDnDestroy> handle(created);
      detail::check_cuda(cusolverDnSetStream(created, stream->get()), "cusolverDnSetStream");
      if (options.deterministic) {
        detail::check_cuda(cusolverDnSetDeterministicMode(created, CUSOLVER_DETERMINISTIC_RESULTS),
                           "cusolverDnSetDeterministicMode");
      }
      cusolverDnParams_t created_params = nullptr;
      detail::check_cuda(cusolverDnCreateParams(&created_params), "cusolverDnCreateParams");
      params.reset(created_params);
      cusolver = std::move(handle);
    }

    // What the manual recommends for an H100.
    static constexpr std::size_t cublas_bytes = std::size_t{32} << 20;

    CudaOptions options;
    detail::CudaOrdinal ordinal;
    std::shared_ptr<detail::CudaStream> stream;
    std::shared_ptr<MemoryResource> memory;
    Arena<Cuda> workspace;
    detail::CudaStaging staging;
    Handle<cublasDestroy_v2> cublas;
    Handle<cublasLtDestroy> cublas_lt;
    std::map<detail::CudaMatmul, detail::CudaMatmulPlan> matmul_plans;
    Handle<cusolverDnDestroy> cusolver;
    Handle<cusolverDnDestroyParams> params;
    void* cublas_memory = nullptr;
  };

  std::unique_ptr<State> state_;
};

/// The GPU of a context is the current one of the thread while the context is.
template <>
class detail::ScopeOf<Cuda> {
 public:
  explicit ScopeOf(const Device<Cuda>& device) : current_(device.ordinal()) {}

 private:
  CurrentCuda current_;
};

ACCRETE_END_NAMESPACE
