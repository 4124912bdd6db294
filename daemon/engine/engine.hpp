// SPDX-License-Identifier: Apache-2.0
// engine.hpp - who runs the codec: jobs of one segment, started now and completed at any later
// time, in any order. One interface, so that nobody ever asks which engine it is.
//
// A job belongs to who starts it. The memory and the tables that it names stay where they are until
// reap() or cancel() has given it back; the job itself until the engine has stopped, since a worker
// may still look at the state of one that was cancelled. An engine never evicts, does I/O through
// loop/io.hpp alone, and may refuse a segment (then the caller stores it otherwise). It may be
// full, fail, want a job to be started again, or never answer: its caller has a deadline for that.
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
#include "loop/io.hpp"

namespace speckv {

enum class Work : uint8_t { encode, decode, copy };

struct EncodeJob {
  Work work = Work::encode;
  // What is asked. raw: [K|V][head][token][channel], contiguous, owned by the client and perhaps
  // changing meanwhile: the engine is never led astray by that, and the sum is of what it stored.
  // out: at least layout.segment_bytes(preset, first). tables: of all layers and heads, or nullptr.
  const Layout* layout = nullptr;
  const codec::Preset* preset = nullptr;
  // tables_id: of these tables, for who keeps a copy of them (Widths.fingerprint).
  const codec::ChanTables* tables = nullptr;
  uint64_t tables_id = 0;
  uint32_t layer = 0;
  bool first = false;
  std::span<const std::byte> raw;
  std::span<std::byte> out;
  // out is encoded already, by somebody who knows nothing of what a bounded preset promises: the
  // answer is a refusal or none. Asked of the cpu engine alone.
  bool bound_only = false;
  // A decode: from `stored`, which is layout.segment_bytes(preset, first) long and may be rewritten
  // meanwhile (then its sum is wrong, and nothing else happens), to `out` as preset `exact` has it.
  // raw is empty. A copy: of `stored`, as long as `out`, whatever it is; likewise.
  std::span<const std::byte> stored;
  // What is answered. failed: the engine could not; what is in out means nothing. retry: nor does
  // it then, and the job is to be started again, with this out or, where something may still be
  // written to it, with another one. checksum: of out; stored_checksum: of what a decode or a copy
  // read.
  codec::Refusal refusal = codec::Refusal::none;
  uint64_t checksum = 0, stored_checksum = 0;
  bool failed = false;
  enum class Retry : uint8_t { none, here, elsewhere };
  Retry retry = Retry::none;
  // The engine's own; false when a job is started for the first time.
  bool by_cpu = false;  // it was tried otherwise
  enum class State : uint8_t { free, queued, running };
  std::atomic<State> state{State::free};
  EncodeJob* next = nullptr;
};

// Of an engine that has a device, and of its trust in it (device.hpp).
enum class Standing : uint8_t { none, live, aside };
enum class Mistrust : uint8_t { nothing, late, reset, gone, lied, broken };
struct DeviceFacts {
  std::atomic<Standing> standing{Standing::none};
  std::atomic<Mistrust> reason{Mistrust::nothing};                   // why it was set aside last
  std::atomic<uint64_t> commands{0};                                 // that it was given
  std::atomic<uint64_t> segments{0}, raw_bytes{0}, stored_bytes{0};  // that it encoded
  std::atomic<uint64_t> decoded{0}, decoded_bytes{0};  // segments that it decoded, raw
  std::atomic<uint64_t> by_cpu{0};                     // segments that it did not take, or not now
  std::atomic<uint64_t> again{0};    // segments that it had, and that were done again without it
  std::atomic<uint64_t> checked{0};  // segments that were encoded again to be compared
  std::atomic<uint64_t> lies{0}, late{0}, errors{0};  // answers: wrong, none in time, no success
  std::atomic<uint64_t> tables{0};                    // that were loaded
  std::atomic<uint64_t> set_aside{0}, self_tests{0};
  std::atomic<uint64_t> under_way{0};  // gauge: commands
};

// What any thread may look at.
struct EngineFacts {
  uint32_t workers = 0;  // threads that encode beside the data thread
  std::atomic<uint32_t> busy{0};
  DeviceFacts device;
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

  // An engine that has a device asks it through the data thread's Io: before the first start().
  virtual bool needs_commands() const { return false; }
  virtual void attach(Io& io) { (void)io; }
  // Returns: whether this operation, which has completed, is the engine's own.
  virtual bool completed(Operation* operation) {
    (void)operation;
    return false;
  }
  // Once a turn of its data thread.
  virtual void turn(uint64_t now_ns) { (void)now_ns; }
  // What is around this job's out is not what it was: whoever wrote there is not to be trusted.
  virtual void distrust(const EncodeJob& job) { (void)job; }
};

// Does this job on the calling thread.
void encode_now(EncodeJob& job);

// The codec room's SIMD, on so many threads beside the data thread; 0: in start(). numa_node: on
// whose processors they run, -1: anywhere. encode: a test's workers run something else. Throws a
// std::runtime_error when it cannot have them: the daemon does not start then.
std::unique_ptr<Engine> make_cpu_engine(uint32_t workers = 0, int numa_node = -1,
                                        void (*encode)(EncodeJob&) = encode_now);

}  // namespace speckv
