// SPDX-License-Identifier: MIT
#include "streams.hpp"

#include <algorithm>

namespace fake_cuda::detail {
namespace {

void push(const std::shared_ptr<Stream>& stream, Work work) {
  if (stream->queue.empty()) {
    state().session.working.push_back(stream);
  }
  stream->queue.push_back(std::move(work));
}

/// Nothing of `stream` that comes now runs before what `first` has now.
void wait_for(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Stream>& first) {
  if (stream != first && !first->queue.empty()) {
    const auto marker = std::make_shared<Marker>();
    push(first, {.name = "", .run = {}, .passes = marker});
    push(stream, {.name = "", .run = {}, .awaited = marker});
  }
}

void order_with_legacy_stream(const std::shared_ptr<Stream>& stream) {
  auto& session = state().session;
  if (is_legacy(stream)) {
    const auto working = session.working;
    for (const auto& other : working) {
      if (other->blocking && other->device == stream->device) {
        wait_for(stream, other);
      }
    }
  } else if (stream->blocking) {
    wait_for(stream, session.legacy.at(static_cast<std::size_t>(stream->device)));
  }
}

/// A device that has failed runs nothing more, but what is to be given back is.
void fail(cudaError_t status, const std::string& why) {
  auto& session = state().session;
  note_fault(why);
  session.sticky = status;
  for (const auto& stream : std::exchange(session.working, {})) {
    for (auto& work : std::exchange(stream->queue, {})) {
      if (work.passes != nullptr) {
        work.passes->passed = true;
      }
      if (work.after_fault) {
        try {
          work.run();
        } catch (const MemoryFault&) { // one fault is told
        }
      }
    }
  }
}

void execute(Work& work, int device) {
  auto& here = state();
  here.running_on = device;
  here.session.time += 1 + here.session.below(1000);
  if (work.run) {
    here.running = true;
    try {
      work.run();
      here.running = false;
    } catch (const MemoryFault& fault) {
      here.running = false;
      fail(cudaErrorIllegalAddress, text("in the work of ", work.name, ": ", fault.what()));
    } catch (const std::exception& error) {
      here.running = false;
      fail(cudaErrorLaunchFailure, text("in the work of ", work.name, ": ", error.what()));
    }
  }
  if (work.passes != nullptr) {
    work.passes->passed = true;
    work.passes->time = here.session.time;
  }
}

/// Whether there was any work.
bool step() {
  auto& session = state().session;
  std::vector<std::shared_ptr<Stream>> ready;
  for (const auto& stream : session.working) {
    const auto& awaited = stream->queue.front().awaited;
    if (awaited == nullptr || awaited->passed) {
      ready.push_back(stream);
    }
  }
  if (ready.empty()) {
    return false;
  }
  const auto stream = ready[session.below(ready.size())];
  Work work = std::move(stream->queue.front());
  stream->queue.pop_front();
  if (stream->queue.empty()) {
    std::erase(session.working, stream);
  }
  execute(work, stream->device);
  return true;
}

} // namespace

std::shared_ptr<Stream> stream_of(cudaStream_t handle) {
  auto& session = state().session;
  const auto current = static_cast<std::size_t>(current_device());
  if (handle == nullptr || handle == cudaStreamLegacy) {
    return session.legacy.at(current);
  }
  if (handle == cudaStreamPerThread) {
    return session.per_thread.at(current);
  }
  if (auto stream = session.streams.find(handle)) {
    return stream;
  }
  refuse(cudaErrorInvalidResourceHandle, "no stream, or one that was destroyed");
}

bool is_legacy(const std::shared_ptr<Stream>& stream) {
  return stream == state().session.legacy.at(static_cast<std::size_t>(stream->device));
}

void check_current(const Stream& stream) {
  if (stream.device != current_device()) {
    refuse(cudaErrorInvalidResourceHandle, "the stream is one of device ", stream.device,
           ", but the current device is ", current_device());
  }
}

void submit(const std::shared_ptr<Stream>& stream, Work work) {
  auto& session = state().session;
  if (is_legacy(stream)) {
    for (const auto& capture : session.captures) {
      const auto& captured = *capture->streams.front();
      if (captured.blocking && captured.device == stream->device) {
        invalidate(*capture);
        refuse(cudaErrorStreamCaptureImplicit,
               "the default stream is ordered with one that is captured");
      }
    }
  }
  order_with_legacy_stream(stream);
  push(stream, std::move(work));
}

void enqueue(const std::shared_ptr<Stream>& stream, std::string name, std::function<void()> run) {
  if (stream->capture != nullptr) {
    capture_node(*stream, std::move(name), std::move(run));
  } else {
    submit(stream, {.name = std::move(name), .run = std::move(run)});
  }
}

void run_until(const Marker& marker) {
  while (!marker.passed && step()) {
  }
}

void run_stream(const std::shared_ptr<Stream>& stream) {
  const auto marker = std::make_shared<Marker>();
  submit(stream, {.name = "", .run = {}, .passes = marker});
  run_until(*marker);
}

void run_device(int device) {
  const auto working = state().session.working;
  for (const auto& stream : working) {
    if (stream->device == device) {
      run_stream(stream);
    }
  }
}

void run_all() {
  while (step()) {
  }
}

void run_some() {
  for (auto steps = state().session.below(4); steps > 0 && step(); --steps) {
  }
}

void count_hidden_synchronization() {
  ++state().session.counters.synchronizations;
  ++state().session.counters.hidden_synchronizations;
}

namespace {

std::shared_ptr<Event> event_of(cudaEvent_t handle) {
  if (auto event = state().session.events.find(handle)) {
    return event;
  }
  refuse(cudaErrorInvalidResourceHandle, "no event, or one that was destroyed");
}

/// An event that the host asks about.
std::shared_ptr<Event> uncaptured_event(cudaEvent_t handle) {
  auto event = event_of(handle);
  if (event->capture != nullptr) {
    invalidate(*event->capture);
    refuse(cudaErrorCapturedEvent, "the event was recorded in a capture");
  }
  return event;
}

} // namespace
} // namespace fake_cuda::detail

using namespace fake_cuda::detail;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call<cudaError_t>("cudaStreamCreateWithFlags", cudaErrorMemoryAllocation, [&] {
    if (stream == nullptr || flags > cudaStreamNonBlocking) {
      return cudaErrorInvalidValue;
    }
    const bool blocking = flags != cudaStreamNonBlocking;
    *stream = state().session.streams.add(std::make_shared<Stream>(Stream{.blocking = blocking}));
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return release_call<cudaError_t>("cudaStreamDestroy", [&] {
    const auto stream = state().session.streams.remove(handle); // its work runs all the same
    if (stream == nullptr) {
      refuse(cudaErrorInvalidResourceHandle, "no stream, or one that was destroyed");
    }
    if (const auto capture = stream->capture) {
      invalidate(*capture);
      if (capture->streams.front() == stream) {
        end_capture(capture);
      }
    }
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call<cudaError_t>("cudaStreamSynchronize", cudaErrorLaunchFailure, [&] {
    const auto stream = stream_of(handle);
    forbid_captured(*stream);
    forbid_while_capturing();
    ++state().session.counters.synchronizations;
    record();
    run_stream(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call<cudaError_t>("cudaStreamQuery", cudaErrorLaunchFailure, [&] {
    const auto stream = stream_of(handle);
    forbid_captured(*stream);
    forbid_while_capturing();
    run_some();
    return stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call<cudaError_t>("cudaDeviceSynchronize", cudaErrorLaunchFailure, [] {
    auto& session = state().session;
    for (const auto& capture : session.captures) {
      invalidate(*capture);
    }
    if (!session.captures.empty()) {
      refuse(cudaErrorStreamCaptureUnsupported, "a stream is captured");
    }
    ++session.counters.synchronizations;
    record();
    run_device(current_device());
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t event_handle,
                                unsigned flags) {
  return call<cudaError_t>("cudaStreamWaitEvent", cudaErrorUnknown, [&] {
    const auto stream = stream_of(stream_handle);
    const auto event = event_of(event_handle);
    if (flags != cudaEventWaitDefault) {
      return cudaErrorInvalidValue;
    }
    if (stream->capture != nullptr || event->capture != nullptr) {
      wait_in_capture(stream, *event);
    } else if (event->recorded != nullptr) {
      submit(stream, {.name = "", .run = {}, .awaited = event->recorded});
    }
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return call<cudaError_t>("cudaLaunchHostFunc", cudaErrorLaunchOutOfResources, [&] {
    const auto stream = stream_of(handle);
    if (function == nullptr) {
      return cudaErrorInvalidValue;
    }
    enqueue(stream, "cudaLaunchHostFunc", [=] { function(data); });
    ++state().session.counters.launches;
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call<cudaError_t>("cudaEventCreateWithFlags", cudaErrorMemoryAllocation, [&] {
    if (event == nullptr || (flags & ~7U) != 0) {
      return cudaErrorInvalidValue;
    }
    const bool timed = (flags & cudaEventDisableTiming) == 0;
    *event = state().session.events.add(std::make_shared<Event>(Event{.timed = timed}));
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t stream_handle) {
  return call<cudaError_t>("cudaEventRecord", cudaErrorUnknown, [&] {
    const auto event = event_of(event_handle);
    const auto stream = stream_of(stream_handle);
    if (event->device != stream->device) {
      refuse(cudaErrorInvalidResourceHandle, "the event is one of device ", event->device,
             ", the stream one of device ", stream->device);
    }
    check_capture(*stream);
    event->capture = stream->capture;
    event->nodes = stream->last_nodes;
    event->recorded = nullptr;
    if (stream->capture == nullptr) {
      event->recorded = std::make_shared<Marker>();
      submit(stream, {.name = "", .run = {}, .passes = event->recorded});
    }
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call<cudaError_t>("cudaEventSynchronize", cudaErrorLaunchFailure, [&] {
    const auto event = uncaptured_event(handle);
    forbid_while_capturing();
    ++state().session.counters.synchronizations;
    record();
    if (event->recorded != nullptr) {
      run_until(*event->recorded);
    }
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call<cudaError_t>("cudaEventQuery", cudaErrorLaunchFailure, [&] {
    const auto event = uncaptured_event(handle);
    forbid_while_capturing();
    run_some();
    return event->recorded == nullptr || event->recorded->passed ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return call<cudaError_t>("cudaEventElapsedTime", cudaErrorUnknown, [&] {
    const auto start = uncaptured_event(from);
    const auto end = uncaptured_event(to);
    if (milliseconds == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (!start->timed || !end->timed || start->recorded == nullptr || end->recorded == nullptr) {
      refuse(cudaErrorInvalidResourceHandle, "an event without timing, or never recorded");
    }
    if (!start->recorded->passed || !end->recorded->passed) {
      return cudaErrorNotReady;
    }
    const auto ticks = static_cast<double>(end->recorded->time) - // of 1 us
                       static_cast<double>(start->recorded->time);
    *milliseconds = static_cast<float>(ticks / 1000);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return release_call<cudaError_t>("cudaEventDestroy", [&] {
    if (state().session.events.remove(handle) == nullptr) {
      refuse(cudaErrorInvalidResourceHandle, "no event, or one that was destroyed");
    }
    record();
    return cudaSuccess;
  });
}
