// SPDX-License-Identifier: Apache-2.0
// session_memory.cpp (fuzz) - any bytes in the memory that a client shares with the daemon: rings,
// guards, touches.
//
// The input is written over a session's shared memory as a hostile client would; then the daemon's
// side reads it. What it gets is bounded, and the arena it is shown lies in the arena.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <sys/mman.h>

#include "pool/medium.hpp"
#include "session/session.hpp"

namespace {

using namespace speckv;

constexpr uint32_t shards = 2;
constexpr uint64_t arena_bytes = 1 << 20;

void require(bool condition) {
  if (!condition) std::abort();
}

// Five words of positions for each shard, then bytes over submissions, touches and guards.
void scribble(std::byte* memory, const uint8_t* data, size_t size) {
  auto* areas = reinterpret_cast<shm::ShardArea*>(memory + shm::shards_offset);
  for (uint32_t i = 0; i < shards; i++) {
    uint32_t words[5] = {};
    const size_t taken = std::min(size, sizeof words);
    std::memcpy(words, data, taken);
    data += taken;
    size -= taken;
    areas[i].sq_tail.value = words[0];
    areas[i].sq_head.value = words[1];
    areas[i].cq_tail.value = words[2];
    areas[i].cq_head.value = words[3];
    areas[i].touch_tail.value = words[4];
  }
  std::memcpy(areas[0].sq, data, std::min(size, sizeof areas[0].sq));
  std::memcpy(areas[1].touches, data, std::min(size, sizeof areas[1].touches));
  std::memcpy(memory + shm::guards_offset, data,
              std::min(size, shm::guard_slots * sizeof(shm::GuardSlot)));
}

void daemon_reads(Session& session) {
  for (uint32_t shard = 0; shard < shards; shard++) {
    uint32_t taken = 0, touched = 0;
    shm::Submission submission;
    while (session.look(shard, &submission)) {
      session.take(shard);
      require(++taken <= shm::sq_entries);
      const auto bytes = session.arena(submission.arena_offset, submission.arg);
      const auto all = session.arena(0, arena_bytes);
      require(all.size() == arena_bytes);
      if (!bytes.empty())
        require(bytes.data() >= all.data() &&
                bytes.data() + bytes.size() <= all.data() + all.size());
      session.layout(submission.layout);
      session.complete(shard, {submission.user_data, 0, 0});
    }
    session.drain_touches(shard, [&](uint32_t) { touched++; });
    require(touched <= shm::touch_entries);
    session.take_posted(shard);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<Medium> medium = [] {
    MediumOptions options;
    options.kind = "memfd";
    options.huge_pages = false;
    auto made = make_medium(options);
    require(made.ok());
    return std::move(made.value());
  }();
  auto session = Session::create({}, *medium, shards, arena_bytes);
  require(session.ok());
  void* memory = mmap(nullptr, session.value()->memory_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
                      session.value()->memory_fd(), 0);
  require(memory != MAP_FAILED);
  // Twice: the second time the daemon's own cursors stand where the first left them.
  for (int turn = 0; turn < 2; turn++) {
    scribble(static_cast<std::byte*>(memory), data, size);
    daemon_reads(*session.value());
    if (size > 0) data++, size--;
  }
  munmap(memory, session.value()->memory_bytes());
  return 0;
}
