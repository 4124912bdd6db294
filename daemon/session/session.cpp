// SPDX-License-Identifier: Apache-2.0
// session.cpp - see session.hpp.
#include "session/session.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "assert.hpp"
#include "session/undertaker.hpp"
#include "shm/atomics.hpp"

namespace speckv {

Result<std::shared_ptr<Session>> Session::create(const Identity& identity, Medium& medium,
                                                 uint32_t shards, uint64_t arena_bytes,
                                                 Undertaker* undertaker) {
  const uint64_t bytes = shm::session_arena_offset(shards) + arena_bytes;
  auto memory = medium.open_session(bytes);
  if (!memory.ok()) return memory.status();
  std::unique_ptr<Session> session(
      new Session(identity, std::move(memory.value()), shards, arena_bytes));
  session->event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (session->event_fd_ < 0) return Status::from_errno("eventfd for a session");
  for (uint32_t shard = 0; shard < shards; shard++) {
    session->doorbells_.push_back(eventfd(0, EFD_CLOEXEC));
    if (session->doorbells_.back() < 0)
      return Status::from_errno("eventfd for a session's doorbell");
  }
  return std::shared_ptr<Session>(session.release(), [undertaker](Session* ended) {
    if (undertaker) undertaker->take(ended);
    else delete ended;
  });
}

Session::Session(const Identity& identity, std::unique_ptr<Region> memory, uint32_t shards,
                 uint64_t arena_bytes)
    : identity_(identity),
      memory_(std::move(memory)),
      arena_offset_(shm::session_arena_offset(shards)),
      arena_bytes_(arena_bytes),
      cursors_(shards) {
  auto* header = reinterpret_cast<shm::SessionHeader*>(memory_->data());
  header->shards = shards;
  header->session_id = identity.number;
  header->arena_offset = arena_offset_;
  header->arena_bytes = arena_bytes;
  shm::store_release(header->magic, shm::session_magic);
}

Session::~Session() {
  if (event_fd_ >= 0) close(event_fd_);
  for (int fd : doorbells_)
    if (fd >= 0) close(fd);
}

int Session::add_layout(const Layout* layout, const Widths* widths) {
  SPECKV_ASSERT(layout && widths, "a layout without widths was given a number");
  for (uint32_t i = 0; i < session_layouts_max; i++) {
    Number& number = layouts_[i];
    const Layout* known = number.layout.load(std::memory_order_relaxed);
    if (known == layout && number.widths == widths) return int(i);
    if (known) continue;
    number.widths = widths;
    number.layout.store(layout, std::memory_order_release);
    return int(i);
  }
  return -EMFILE;
}

Session::Registered Session::layout(uint32_t number) const {
  if (number >= session_layouts_max) return {};
  const Layout* layout = layouts_[number].layout.load(std::memory_order_acquire);
  return layout ? Registered{layout, layouts_[number].widths} : Registered{};
}

bool Session::has_submissions(uint32_t shard) const {
  SPECKV_ASSERT(shard < cursors_.size(), "a session was asked for a shard that it has no rings of");
  return shm::load_acquire(area(shard).sq_tail.value) != cursors_[shard].sq_head;
}

bool Session::look(uint32_t shard, shm::Submission* ret_submission) {
  SPECKV_ASSERT(shard < cursors_.size(), "a session was asked for a shard that it has no rings of");
  shm::ShardArea& shared = area(shard);
  Cursor& cursor = cursors_[shard];
  const uint32_t ready = shm::load_acquire(shared.sq_tail.value) - cursor.sq_head;
  if (ready == 0) return false;
  if (ready > shm::sq_entries) {  // no honest client writes this: forget what it says, it hurts
                                  // itself alone
    cursor.sq_head += ready;
    return false;
  }
  shm::copy_racing(ret_submission, shared.sq[cursor.sq_head % shm::sq_entries]);
  return true;
}

bool Session::look_ahead(uint32_t shard, uint32_t behind, shm::Submission* ret_submission) const {
  const shm::ShardArea& shared = area(shard);
  const uint32_t ready = shm::load_acquire(shared.sq_tail.value) - cursors_[shard].sq_head;
  if (behind >= ready || ready > shm::sq_entries) return false;
  shm::copy_racing(ret_submission, shared.sq[(cursors_[shard].sq_head + behind) % shm::sq_entries]);
  return true;
}

void Session::take(uint32_t shard) {
  SPECKV_ASSERT(shard < cursors_.size(), "an entry was taken from a ring that is not there");
  Cursor& cursor = cursors_[shard];
  cursor.sq_head++;
  shm::store_release(area(shard).sq_head.value, cursor.sq_head);
}

std::span<const std::byte> Session::arena(uint64_t offset, uint64_t bytes) const {
  if (offset % shm::arena_chunk_bytes || offset > arena_bytes_ || bytes > arena_bytes_ - offset)
    return {};
  return {memory_->data() + arena_offset_ + offset, bytes};
}

void Session::complete(uint32_t shard, const shm::Completion& completion) {
  SPECKV_ASSERT(shard < cursors_.size(),
                "a completion for a shard that the session has no rings of");
  shm::ShardArea& shared = area(shard);
  Cursor& cursor = cursors_[shard];
  if (cursor.cq_tail - shm::load_acquire(shared.cq_head.value) >= shm::cq_entries) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  shm::store_racing(&shared.cq[cursor.cq_tail % shm::cq_entries], completion);
  cursor.cq_tail++;
  shm::store_release(shared.cq_tail.value, cursor.cq_tail);
  cursor.posted = true;
}

bool Session::take_posted(uint32_t shard) { return std::exchange(cursors_[shard].posted, false); }

const shm::GuardSlot* Session::guards() const {
  return reinterpret_cast<const shm::GuardSlot*>(memory_->data() + shm::guards_offset);
}

}  // namespace speckv
