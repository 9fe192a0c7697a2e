// SPDX-License-Identifier: MIT
#pragma once

#include "internal.hpp"

// Work in streams, and captures of it.

namespace fake_cuda::detail {

/// @throws RuntimeRefusal if there is no such stream.
std::shared_ptr<Stream> stream_of(cudaStream_t handle);

[[nodiscard]] bool is_legacy(const std::shared_ptr<Stream>& stream);
/// @throws RuntimeRefusal for a stream of another device than the current one.
void check_current(const Stream& stream);

/// Appends work to a stream or to what is captured of it.
void enqueue(const std::shared_ptr<Stream>& stream, std::string name, std::function<void()> run);
/// Work that is never captured.
void submit(const std::shared_ptr<Stream>& stream, Work work);

/// Runs work of all streams, in an order drawn among those allowed, until a marker is passed.
void run_until(const Marker& marker);
void run_stream(const std::shared_ptr<Stream>& stream);
void run_device(int device);
void run_all();
/// A few pieces of work, as time would pass.
void run_some();

/// Calls that may disturb a capture: refused while there is one, except in relaxed mode.
void forbid_while_capturing();
/// Calls that cannot be captured, on a stream.
void forbid_captured(const Stream& stream);
/// What is captured gives no graph any more.
void invalidate(Capture& capture);
/// @throws RuntimeRefusal if a stream is captured in vain.
void check_capture(const Stream& stream);
void capture_node(Stream& stream, std::string name, std::function<void()> run);
/// A captured stream waits, or one that an event draws into its capture.
void wait_in_capture(const std::shared_ptr<Stream>& stream, const Event& event);
/// No stream is captured by it any more.
void end_capture(const std::shared_ptr<Capture>& capture);

/// What synchronises without saying so.
void count_hidden_synchronization();

} // namespace fake_cuda::detail
