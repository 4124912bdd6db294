// SPDX-License-Identifier: Apache-2.0
// handle.hpp - from the caller's opaque handle to a session, safely whatever the handle is.
//
// A handle is a number in a pointer's clothes (slot, generation, fork number) and is never
// followed, so a closed, forked or made-up one gives an errno and cannot crash. The 64 slots are
// static. Call counts itself into a stripe of the slot before it looks whether the slot is open;
// close() shuts the slot and waits for the stripes to be empty.
#pragma once

#include <atomic>
#include <cstdint>

#include "src/session.hpp"

namespace speckv::lib {

// This thread's number, from 1: picks its stripe and its guard.
uint32_t thread_number();

struct alignas(64) Stripe {
  std::atomic<uint32_t> calls{0};
  std::atomic<uint64_t> hits{0}, misses{0}, bytes_read{0};
  std::atomic<uint64_t> retries{0}, stale{0}, corrupt{0}, foreign{0};
};

struct Slot {
  Stripe stripe[stripes];
  std::atomic<uint64_t> state{0};  // generation << 8 | phase
  std::atomic<uint32_t> fork_number{0};
  Session* session = nullptr;
  void* memory = nullptr;  // of the session; kept for the slot's next one
};

// One call's stay in a session. result() != 0: there is no session, return it.
class Call {
 public:
  explicit Call(const speckv_session* handle);
  // A call on a put or a page: finds its session. block() is then its index, to be checked under
  // rings.
  explicit Call(const struct speckv_put* handle);
  explicit Call(const speckv_page* handle);
  ~Call() {
    if (stripe_) stripe_->calls.fetch_sub(1);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  int result() const { return result_; }
  Session& session() const { return *session_; }
  Stripe& stripe() const { return *stripe_; }
  Slot& slot() const { return *slot_; }
  uint32_t block() const { return block_; }
  uint32_t block_generation() const { return block_generation_; }

 private:
  void enter(uint32_t slot, uint64_t generation, uint64_t generation_mask);
  void enter_block(uint64_t handle, uint64_t magic);

  int result_ = 0;
  Slot* slot_ = nullptr;
  Session* session_ = nullptr;
  Stripe* stripe_ = nullptr;
  uint32_t block_ = 0;
  uint32_t block_generation_ = 0;
};

// A stay in the maps of the session's current connection. Without one (never so after open) get()
// is null.
class Pin {
 public:
  explicit Pin(Session& session);
  ~Pin() { release(); }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

  Connection* get() const { return connection_; }
  Connection* operator->() const { return connection_; }
  Connection& operator*() const { return *connection_; }
  void release();

 private:
  Connection* connection_ = nullptr;
  std::atomic<uint32_t>* count_ = nullptr;
};

// Takes a free slot. Returns: 0, -EMFILE, or -errno of the first use in a process.
int slot_take(Slot** ret_slot);
void slot_publish(Slot& slot, Session* session, speckv_session** ret_handle);
void slot_free(Slot& slot);  // of one that was taken and not published, or shut and emptied
// Requires: a handle. Shuts its slot to new calls. Returns: the slot, or nullptr if it was not
// open. ret_forked: it was opened before a fork by the parent.
Slot* slot_shut(const speckv_session* handle, bool* ret_forked);
bool slot_empty(const Slot& slot);
const Stripe* slot_stripes(const Slot& slot);

struct speckv_put* put_handle(const Slot& slot, uint32_t block, uint32_t generation);
speckv_page* page_handle(const Slot& slot, uint32_t block, uint32_t generation);

}  // namespace speckv::lib
