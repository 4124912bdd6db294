// SPDX-License-Identifier: Apache-2.0
// session_format.hpp - the memory that one session and the daemon share: rings, guards, touches,
// arena.
//
//   session file = SessionHeader (4 KiB) | GuardSlot x 64 | per shard: ShardArea | arena
//
// Created and sealed against resize by the daemon; both sides can write all of it. The daemon
// therefore trusts nothing in it: it copies each submission once, masks every index, and a client
// that scribbles here hurts itself alone. Rings are single producer, single consumer: the library's
// lock makes its threads one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shm/key.hpp"

namespace speckv::shm {

constexpr uint64_t session_magic = 0x32305345534b5356ull;  // "VSKSES02"
constexpr uint32_t guard_slots = 64;  // reading threads of one session that can hold a guard
constexpr uint32_t guard_names = 7;   // blocks that one guard can name: two cache lines of them
constexpr uint32_t sq_entries = 1024;
constexpr uint32_t cq_entries = 2048;  // the library keeps at most this many operations in flight
constexpr uint32_t touch_entries = 4096;
constexpr uint32_t arena_chunk_bytes = 64u << 10;
constexpr uint64_t guard_ignored_after_ns = 2'000'000'000;

// One submission per key, to the key's shard; unhold and adopt go to every shard (-EBADF from all:
// no such hold), fetch_end and retain_end to those that were asked.
enum class Op : uint8_t {
  put = 1,
  remove = 2,
  hold = 3,
  unhold = 4,
  adopt = 5,
  touch = 6,
  // Since 1.2 of the wire. A fetch may be answered twice: completion_on_its_way, then its end.
  prefetch = 7,   // to be readable by a deadline, within a budget
  load = 8,       // the same, and somebody waits for it
  fetch_end = 9,  // no key of this number is waited for any more
  retain = 10,
  retain_end = 11,
  demote = 12,
  hint = 13,
  // Since 1.4. 0: the pool has it; located_below; -ENOENT; -EIO: a tier has it and does not answer.
  locate = 14,
};
constexpr int32_t located_below = -66;  // -EREMOTE, an answer to locate: a tier below has it

struct Submission {
  uint64_t user_data;
  uint8_t op;         // enum Op
  uint8_t flags;      // 0
  uint16_t layout;    // session's layout number
  uint32_t position;  // put: of its first token; fetch: keys of its number that follow this one
  Key key;
  Key parent;
  uint64_t arena_offset;  // put: where the block lies, canonical order
  uint64_t arg;           // hold, retain: TTL in ns; fetch: deadline, of CLOCK_MONOTONIC
  uint64_t hold;          // the number of the hold, the fetch or what is retained
  uint64_t budget;        // fetch: bytes that all keys of its number may take from below
  uint64_t returns_ns;    // hint: when its session will speak again; 0: unknown
  uint8_t kind;           // put, hint: enum speckv_kind
  uint8_t reserved[7];
};
static_assert(sizeof(Submission) == 128);

enum CompletionFlags : uint32_t {
  completion_existed = 1,  // SPECKV_COMPLETION_EXISTED
  // There are better bit widths than those that this session's number of the layout stands for: its
  // library asks for the layout again, and gets another number.
  completion_new_widths = 2,
  // Of a fetch, its first answer: the block is being fetched, and the end of it follows.
  completion_on_its_way = 4,
};

struct Completion {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
};
static_assert(sizeof(Completion) == 16);

struct alignas(64) RingIndex {
  uint32_t value;
};

struct GuardName {
  uint64_t ref;  // 0: none
  uint64_t gen;
};

// One thread's "I am reading these": a hint for the daemon, never waited for. Several at once, so
// that one full fence serves several small blocks.
struct GuardSlot {
  GuardName names[guard_names];
  uint64_t since_ns;
  uint32_t owner;  // used by the library alone: taken or free
  // Of the first slot: how many, from it on, were ever taken in this session. It only grows. The
  // daemon looks no further; a library that does not say so has no guards, and retries.
  uint32_t slots_used;
};
static_assert(sizeof(GuardSlot) == 128);

struct ShardArea {
  RingIndex sq_tail;  // client
  RingIndex sq_head;  // daemon
  RingIndex cq_tail;  // daemon
  RingIndex cq_head;  // client
  RingIndex touch_tail;
  uint32_t touches[touch_entries];  // block numbers; newer ones overwrite older ones
  Submission sq[sq_entries];
  Completion cq[cq_entries];
};
static_assert(sizeof(ShardArea) % 64 == 0);

struct SessionHeader {
  uint64_t magic;
  uint32_t shards;
  uint32_t reserved;
  uint64_t session_id;
  uint64_t arena_offset;
  uint64_t arena_bytes;
};

constexpr uint64_t session_header_bytes = 4096;
constexpr uint64_t guards_offset = session_header_bytes;
constexpr uint64_t shards_offset = guards_offset + guard_slots * sizeof(GuardSlot);
constexpr uint64_t session_arena_offset(uint32_t shards) {
  const uint64_t end = shards_offset + uint64_t(shards) * sizeof(ShardArea);
  return (end + (2u << 20) - 1) / (2u << 20) * (2u << 20);
}

}  // namespace speckv::shm
