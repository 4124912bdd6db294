// SPDX-License-Identifier: Apache-2.0
// engine.hpp - who runs the codec: jobs of one segment, started now and completed at any later
// time, in any order. One interface, so that nobody ever asks which engine it is.
//
// A job belongs to who starts it. The memory and the tables that it names stay where they are until
// reap() or cancel() has given it back; the job itself until the engine has stopped, since a worker
// may still look at the state of one that was cancelled. An engine does no I/O of its own accord,
// never evicts, and may refuse a segment (then the caller stores it otherwise). It may be full,
// fail, or never answer: its caller has a deadline for that.
//
// Between taking a job and its first store an engine runs a release fence: the slot's gen was made
// odd by another thread perhaps, and readers rely on the order of the two (docs/protocol.md §4.2).
// Threading: one engine a data thread; that thread makes all calls but facts(). None of them waits,
// but stop().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "codec/segment.hpp"
#include "layout.hpp"

namespace speckv {

struct EncodeJob {
  // What is asked. raw: [K|V][head][token][channel], contiguous, owned by the client and perhaps
  // changing meanwhile: the engine is never led astray by that, and the sum is of what it stored.
  // out: at least layout.segment_bytes(preset, first). tables: of all layers and heads, or nullptr.
  const Layout* layout = nullptr;
  const codec::Preset* preset = nullptr;
  const codec::ChanTables* tables = nullptr;
  uint32_t layer = 0;
  bool first = false;
  std::span<const std::byte> raw;
  std::span<std::byte> out;
  // What is answered. failed: the engine could not; what is in out means nothing.
  codec::Refusal refusal = codec::Refusal::none;
  uint64_t checksum = 0;
  bool failed = false;
  // The engine's own.
  enum class State : uint8_t { free, queued, running };
  std::atomic<State> state{State::free};
  EncodeJob* next = nullptr;
};

// What any thread may look at.
struct EngineFacts {
  uint32_t workers = 0;  // threads that encode beside the data thread
  std::atomic<uint32_t> busy{0};
};

class Engine {
 public:
  virtual ~Engine() = default;
  // Returns: false, it is full, and nothing was started.
  [[nodiscard]] virtual bool start(EncodeJob* job) = 0;
  // Appends each job that was completed since the last call.
  virtual void reap(std::vector<EncodeJob*>* ret_completed) = 0;
  // Returns: true, it had not begun and is the caller's again; false, it will be reaped.
  [[nodiscard]] virtual bool cancel(EncodeJob* job) = 0;
  // Becomes readable when there is something to reap; never read. -1: jobs complete in start().
  virtual int wake_fd() const = 0;
  // Jobs that it holds at most. Whoever starts jobs for several decides whose come next, so an
  // engine keeps no long queue.
  virtual uint32_t jobs_max() const = 0;
  // Jobs that run are completed, those that have not begun are never. Nothing is written
  // afterwards.
  virtual void stop() = 0;
  virtual const EngineFacts& facts() const = 0;
};

// Encodes this job on the calling thread.
void encode_now(EncodeJob& job);

// The codec room's SIMD, on so many threads beside the data thread; 0: in start(). numa_node: on
// whose processors they run, -1: anywhere. encode: a test's workers run something else. Throws a
// std::runtime_error when it cannot have them: the daemon does not start then.
std::unique_ptr<Engine> make_cpu_engine(uint32_t workers = 0, int numa_node = -1,
                                        void (*encode)(EncodeJob&) = encode_now);

}  // namespace speckv
