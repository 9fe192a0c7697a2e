// SPDX-License-Identifier: MIT
#include "streams.hpp"

#include <algorithm>

namespace fake_cuda::detail {

void invalidate(Capture& capture) { capture.valid = false; }

void forbid_while_capturing() {
  bool forbidden = false;
  for (const auto& capture : state().session.captures) {
    if (capture->mode != cudaStreamCaptureModeRelaxed) {
      invalidate(*capture);
      forbidden = true;
    }
  }
  if (forbidden) {
    refuse(cudaErrorStreamCaptureUnsupported, "not permitted while a stream is captured");
  }
}

void forbid_captured(const Stream& stream) {
  if (stream.capture != nullptr) {
    invalidate(*stream.capture);
    refuse(cudaErrorStreamCaptureUnsupported, "cannot be captured");
  }
}

void check_capture(const Stream& stream) {
  if (stream.capture != nullptr && !stream.capture->valid) {
    refuse(cudaErrorStreamCaptureInvalidated, "an earlier call has ended the capture");
  }
}

void capture_node(Stream& stream, std::string name, std::function<void()> run) {
  check_capture(stream);
  auto& nodes = stream.capture->graph.nodes;
  nodes.push_back({std::move(name), std::move(run), stream.last_nodes});
  stream.last_nodes = {nodes.size() - 1};
}

void wait_in_capture(const std::shared_ptr<Stream>& stream, const Event& event) {
  check_capture(*stream);
  if (event.capture == nullptr) {
    if (event.recorded != nullptr) {
      invalidate(*stream->capture);
      refuse(cudaErrorStreamCaptureIsolation,
             "a captured stream waits for an event recorded outside of the capture");
    }
    return;
  }
  if (!event.capture->active) {
    refuse(cudaErrorCapturedEvent, "the event was recorded in a capture that has ended");
  }
  if (stream->capture == nullptr) {
    stream->capture = event.capture;
    event.capture->streams.push_back(stream);
  } else if (stream->capture != event.capture) {
    invalidate(*stream->capture);
    invalidate(*event.capture);
    refuse(cudaErrorStreamCaptureMerge, "the event belongs to another capture");
  }
  for (const std::size_t node : event.nodes) {
    if (std::find(stream->last_nodes.begin(), stream->last_nodes.end(), node) ==
        stream->last_nodes.end()) {
      stream->last_nodes.push_back(node);
    }
  }
}

void end_capture(const std::shared_ptr<Capture>& capture) {
  capture->active = false;
  for (const auto& stream : std::exchange(capture->streams, {})) {
    stream->capture = nullptr;
    stream->last_nodes.clear();
  }
  std::erase(state().session.captures, capture);
}

namespace {

/// Whether all nodes come before the end of the stream where the capture began.
bool is_joined(const Capture& capture) {
  const auto& nodes = capture.graph.nodes;
  std::vector<bool> reached(nodes.size());
  auto open = capture.streams.front()->last_nodes;
  while (!open.empty()) {
    const std::size_t node = open.back();
    open.pop_back();
    if (!reached[node]) {
      reached[node] = true;
      open.insert(open.end(), nodes[node].after.begin(), nodes[node].after.end());
    }
  }
  return std::find(reached.begin(), reached.end(), false) == reached.end();
}

/// Runs all nodes, in an order drawn among those allowed.
void replay(const Graph& graph) {
  std::vector<bool> done(graph.nodes.size());
  for (std::size_t left = graph.nodes.size(); left > 0; --left) {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      const auto& after = graph.nodes[i].after;
      if (!done[i] && std::all_of(after.begin(), after.end(),
                                  [&](std::size_t earlier) { return done[earlier]; })) {
        ready.push_back(i);
      }
    }
    const std::size_t node = ready[state().session.below(ready.size())];
    done[node] = true;
    try {
      graph.nodes[node].run();
    } catch (const MemoryFault& fault) {
      throw MemoryFault(text(graph.nodes[node].name, ": ", fault.what()));
    }
  }
}

} // namespace
} // namespace fake_cuda::detail

using namespace fake_cuda::detail;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call<cudaError_t>("cudaStreamBeginCapture", cudaErrorUnknown, [&] {
    const auto stream = stream_of(handle);
    if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) {
      return cudaErrorInvalidValue;
    }
    if (is_legacy(stream)) {
      refuse(cudaErrorStreamCaptureUnsupported, "the default stream cannot be captured");
    }
    if (stream->capture != nullptr) {
      refuse(cudaErrorIllegalState, "the stream is captured already");
    }
    stream->capture = std::make_shared<Capture>(Capture{.mode = mode, .streams = {stream}});
    state().session.captures.push_back(stream->capture);
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  // It can fail, and ends the capture all the same.
  return release_call<cudaError_t>("cudaStreamEndCapture", [&] {
    const bool failing = is_failing();
    const auto stream = stream_of(handle);
    const auto capture = stream->capture;
    if (capture == nullptr) {
      refuse(cudaErrorIllegalState, "the stream is not captured");
    }
    if (graph == nullptr) {
      return cudaErrorInvalidValue;
    }
    *graph = nullptr;
    if (capture->streams.front() != stream) {
      invalidate(*capture);
      refuse(cudaErrorStreamCaptureUnmatched, "the capture began in another stream");
    }
    const bool joined = is_joined(*capture);
    end_capture(capture);
    if (failing) {
      return cudaErrorStreamCaptureInvalidated;
    }
    if (!capture->valid) {
      refuse(cudaErrorStreamCaptureInvalidated, "an earlier call has ended the capture");
    }
    if (!joined) {
      refuse(cudaErrorStreamCaptureUnjoined, "a stream that was drawn in has not been waited for");
    }
    *graph = state().session.graphs.add(std::make_shared<Graph>(std::move(capture->graph)));
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call<cudaError_t>("cudaStreamIsCapturing", cudaErrorUnknown, [&] {
    const auto stream = stream_of(handle);
    if (status == nullptr) {
      return cudaErrorInvalidValue;
    }
    *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
              : stream->capture->valid   ? cudaStreamCaptureStatusActive
                                         : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  return call<cudaError_t>("cudaGraphGetNodes", cudaErrorUnknown, [&] {
    const auto graph = state().session.graphs.find(handle);
    if (graph == nullptr || count == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (nodes != nullptr) {
      refuse(cudaErrorInvalidValue, "nodes have no handles here: ask for their number alone");
    }
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle,
                                 unsigned long long flags) {
  return call<cudaError_t>("cudaGraphInstantiate", cudaErrorMemoryAllocation, [&] {
    const auto graph = state().session.graphs.find(handle);
    if (executable == nullptr || graph == nullptr || flags != 0) {
      return cudaErrorInvalidValue;
    }
    *executable = state().session.executables.add(std::make_shared<Graph>(*graph));
    record(" ", graph->nodes.size());
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  return call<cudaError_t>("cudaGraphLaunch", cudaErrorLaunchOutOfResources, [&] {
    const auto stream = stream_of(stream_handle);
    const std::shared_ptr<const Graph> graph = state().session.executables.find(handle);
    if (graph == nullptr) {
      refuse(cudaErrorInvalidValue, "no instantiated graph, or one that was destroyed");
    }
    enqueue(stream, "cudaGraphLaunch", [=] { replay(*graph); });
    ++state().session.counters.graph_launches;
    record(" ", graph->nodes.size());
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return release_call<cudaError_t>("cudaGraphDestroy", [&] {
    if (state().session.graphs.remove(graph) == nullptr) {
      refuse(cudaErrorInvalidValue, "no graph, or one that was destroyed");
    }
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return release_call<cudaError_t>("cudaGraphExecDestroy", [&] {
    if (state().session.executables.remove(executable) == nullptr) {
      refuse(cudaErrorInvalidValue, "no instantiated graph, or one that was destroyed");
    }
    record();
    return cudaSuccess;
  });
}
