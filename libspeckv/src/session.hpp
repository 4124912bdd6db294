// SPDX-License-Identifier: Apache-2.0
// session.hpp - everything one open session owns, and which lock guards it.
//
// control: handshake, layout registration, swapping connections. Held while talking on the socket.
// rings:   submission and completion rings, records, arena, open blocks, holds. Never held during a
//          copy, a decode or a system call that waits. Order: control, then rings.
// The reading path takes neither: it uses current, layouts[] and the stripes of its slot.
// Made by open.cpp in memory that is never given back; see handle.hpp for how a call reaches it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "codec/chan_table.hpp"
#include "codec/segment.hpp"
#include "shm/layout_math.hpp"
#include "shm/wire.hpp"
#include "src/abi.hpp"
#include "src/connection.hpp"
#include "src/monitor.hpp"
#include "src/peer.hpp"

namespace speckv::lib {

constexpr uint32_t no_record = UINT32_MAX;
constexpr uint32_t presets = 16;  // values of shm::slot_preset_mask

// Bit widths that pages of a layout were stored with; a slot's fingerprint says which.
struct WidthSet {
  uint64_t fingerprint;
  const codec::ChanTables* tables;  // owned (tables.hpp); nullptr: chanq does not take the pages
};
constexpr uint32_t width_sets_max = 64;  // in a session's life: a daemon changes them once a start

// A registered layout with what readers and writers need of it, worked out once.
struct LayoutInfo {
  speckv_layout layout;
  Key mask;                // from its keys to its blocks' addresses
  uint64_t half_bytes;     // raw K (or V) of one layer
  uint64_t segment_bytes;  // raw, one layer
  uint64_t block_bytes;    // raw
  uint32_t segments;       // of a stored block: its layers', then those of its side bytes
  uint32_t chunks;         // of the arena for one block
  // How a segment is stored, by preset and by "first block of a sequence"; .bytes 0: unknown here.
  codec::SegmentPlan stored[presets][2];
  // Equal widths first, then the daemon's, as it told of them; only appended to (control).
  WidthSet widths[width_sets_max];
  std::atomic<uint32_t> widths_count;

  // The newest first: most pages are of it. Returns: nullptr for widths nobody told of, or another
  // layout's fingerprint.
  const WidthSet* widths_of(uint64_t fingerprint) const {
    for (uint32_t i = widths_count.load(std::memory_order_acquire); i-- > 0;)
      if (widths[i].fingerprint == fingerprint) return &widths[i];
    return nullptr;
  }
};

// Answers of one call's own operations (hold, load; on the caller's stack) or of a prefetch. rings
// guards it.
struct Waiter {
  int32_t* results;
  uint32_t left;
  uint32_t record = no_record;  // that the user reaps once none is left
};
constexpr int32_t not_answered = 1;  // in results

// Free while number is 0 and no answer is left.
struct Prefetch {
  uint64_t number = 0;
  uint32_t count = 0;
  uint64_t shard_mask = 0;  // that were asked
  std::unique_ptr<int32_t[]> results;
  Waiter waiter{nullptr, 0};
};

enum class RecordState : uint8_t { free, reserved, under_way, completed };

// One operation from submission until its completion is reaped.
struct Record {
  uint64_t user_data;
  Waiter* waiter;  // answers go here; nullptr with internal: to nobody
  uint32_t generation;
  uint32_t next;  // in the free list or in the queue of completions
  uint32_t waiter_index;
  uint32_t chunk_first;
  uint32_t chunk_count;
  int32_t result;
  uint32_t flags;
  uint8_t shard;
  RecordState state;
  bool internal;    // not to be reaped by the user
  uint8_t answers;  // that may come still: a fetch has two
};

// A caller's speckv_meta, checked.
struct Meta {
  Key parent;
  uint32_t position = SPECKV_POSITION_UNKNOWN;
  uint8_t kind = SPECKV_KIND_UNKNOWN;
};

enum class BlockKind : uint8_t { free, put, page };

// An open put or page.
struct OpenBlock {
  Connection* connection;
  const LayoutInfo* info;
  uint32_t layout;
  uint32_t generation;
  uint32_t next;
  uint32_t chunk_first;
  BlockKind kind;
  bool dying;        // aborted while another thread copies: that thread frees it
  uint32_t copiers;  // threads inside put_layers
  uint32_t layers_left;
  uint32_t tokens;
  uint64_t layers_claimed[SPECKV_LAYERS_MAX / 64];
  Key key;
  Meta meta;
};

// A busy entry belongs to the call that made it, however long that takes: only the call ends it.
struct Hold {
  uint64_t number;  // 0: free
  bool retains;     // it is what speckv_retain() gave out
  uint64_t expires_ns;
  uint64_t shard_mask;
  bool busy;
};

struct Handshake {
  enum class Stage : uint8_t { idle, welcome, layouts };
  Stage stage = Stage::idle;
  Connection* connection = nullptr;
  uint32_t layout = 0;       // the one whose reply is awaited; on a live connection: asked again
  uint32_t asked = 0;        // layouts whose requests are sent: some ahead of the replies
  uint64_t deadline_ns = 0;  // of the next reply: each gives the handshake its whole time again
};

struct Session {
  // constant after open
  char socket_path[108];
  char namespace_name[64];
  uint64_t arena_bytes;
  uint64_t timeout_ns;
  PeerCheck peer;  // which daemon is believed

  std::atomic<Connection*> current{nullptr};
  std::atomic<uint32_t> layouts_count{0};
  LayoutInfo* layouts = nullptr;  // layouts_max of them; the first layouts_count are constant
                                  // but for what is appended to their widths
  std::atomic<uint64_t> next_check_ns{0};
  // A block was stored by widths that we do not know: ask for the layouts again.
  std::atomic<bool> widths_wanted{false};
  std::atomic<uint64_t> widths_asked_ns{0};
  std::atomic<bool> closing{false};
  std::atomic<uint64_t> puts{0}, put_bytes{0}, reconnects{0};

  Monitor control;
  Handshake handshake;
  uint64_t next_attempt_ns = 0;
  Connection connections[connections_max];

  Monitor rings;
  Record* records = nullptr;
  uint32_t records_used = 0;  // never used yet: from here on
  uint32_t records_free = no_record;
  uint32_t user_under_way = 0;  // submitted operations that the user will reap
  uint32_t completed_first = no_record;
  uint32_t completed_last = no_record;
  OpenBlock* blocks = nullptr;
  uint32_t blocks_used = 0;
  uint32_t blocks_free = no_record;
  Hold holds[holds_max];
  Prefetch prefetches[prefetches_max];
  uint64_t hold_seed = 0;
  uint64_t hold_count = 0;
  bool leader = false;  // a thread sleeps in poll() for all waiting ones
  int wake = -1;        // eventfd: gets the leader out of poll()
  int user_poll = -1;   // what speckv_event_fd() gave out: an epoll of the two below and the socket
  int user_event = -1;  // eventfd: the queue holds completions whose event was consumed by us
  bool user_event_set = false;

  bool queue_empty() const { return completed_first == no_record; }
};

}  // namespace speckv::lib
