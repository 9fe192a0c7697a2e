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

void capture_node(Stream& stream, std::string name, std::function<void()> run) {
  auto& capture = *stream.capture;
  if (!capture.valid) {
    refuse(cudaErrorStreamCaptureInvalidated, "an earlier call has ended the capture");
  }
  auto& nodes = capture.graph.nodes;
  nodes.push_back({std::move(name), std::move(run), stream.last_nodes});
  stream.last_nodes = {nodes.size() - 1};
}

} // namespace fake_cuda::detail
