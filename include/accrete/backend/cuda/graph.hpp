// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/device.hpp>

#include <memory>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// A step of work that is recorded once, in a CUDA graph, and given to the stream again by one call
/// instead of one for each kernel: what small products spend most of their time on.
///
/// Shapes, addresses and numbers of the host (scales, learning rates) stay those of the recording.
/// The graph keeps the temporaries that it uses, and its context makes new ones.
class CudaGraph {
 public:
  /// Calls step() twice: as it is, so that plans, temporaries and handles are there, and once more
  /// to record its work, which is not done then. `device` is that of the current context, and
  /// outlives the graph. What waits for the stream cannot be recorded, nor what brings numbers of
  /// the host to the device: AdamW's step, whose corrections change, and lists of columns.
  /// @throws CudaError, ArgumentError
  template <class Step>
  CudaGraph(Device<Cuda>& device, const Step& step)
      : executable_((step(), record(device, step))),
        temporaries_(std::move(device.workspace())),
        stream_(device.stream()) {}

  /// The work again, after what the stream has been given. Neither waits nor allocates.
  void launch() {
    detail::check_cuda(cudaGraphLaunch(executable_.get(), stream_), "cudaGraphLaunch");
  }

 private:
  struct Destroy {
    void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
    void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
  };
  using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, Destroy>;
  using Executable = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy>;

  /// A stream that records; where what it is given fails, it ends without a graph.
  class Recording {
   public:
    explicit Recording(cudaStream_t stream) : stream_(stream) {
      detail::check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                         "cudaStreamBeginCapture");
    }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    ~Recording() {
      if (stream_ != nullptr) {
        cudaGraph_t graph = nullptr;
        cudaStreamEndCapture(stream_, &graph);
        Graph discarded(graph);
        cudaGetLastError();
      }
    }
    [[nodiscard]] Graph end() {
      cudaGraph_t graph = nullptr;
      detail::check_cuda(cudaStreamEndCapture(std::exchange(stream_, nullptr), &graph),
                         "cudaStreamEndCapture");
      return Graph(graph);
    }

   private:
    cudaStream_t stream_;
  };

  template <class Step>
  static Executable record(Device<Cuda>& device, const Step& step) {
    Recording recording(device.stream());
    step();
    const Graph graph = recording.end();
    std::size_t nodes = 0;
    detail::check_cuda(cudaGraphGetNodes(graph.get(), nullptr, &nodes), "cudaGraphGetNodes");
    if (nodes == 0) {
      ACCRETE_THROW ArgumentError("CudaGraph: the step gave the device's stream no work; make the "
                                  "context of this device the current one (ScopedContext)");
    }
    cudaGraphExec_t executable = nullptr;
    detail::check_cuda(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
    return Executable(executable);
  }

  Executable executable_;
  Arena<Cuda> temporaries_;
  cudaStream_t stream_;
};

ACCRETE_END_NAMESPACE
