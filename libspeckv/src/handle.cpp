// SPDX-License-Identifier: Apache-2.0
#include "src/handle.hpp"

#include <unistd.h>

#include <cerrno>

#include "src/fork.hpp"
#include "src/teardown.hpp"

namespace speckv::lib {
namespace {

static_assert(sizeof(void*) == 8, "handles are 64-bit numbers");

// session: magic 8 | fork number 8 | slot 8 | 0 8 | generation 32
// block:   magic 8 | slot 6 | session generation 18 | block 12 | generation 20
constexpr uint64_t magic_session = 0x51, magic_put = 0x52, magic_page = 0x53;
constexpr uint64_t generation_mask = 0xffffffff, short_generation_mask = 0x3ffff;
constexpr uint64_t block_mask = blocks_max - 1, block_generation_mask = 0xfffff;

enum Phase : uint64_t { phase_free = 0, phase_taken = 1, phase_open = 2, phase_shut = 3 };

Slot slots[sessions_max];

uint64_t state_of(uint64_t generation, Phase phase) { return generation << 8 | phase; }
Phase phase_of(uint64_t state) { return Phase(state & 0xff); }
uint64_t generation_of(uint64_t state) { return state >> 8 & generation_mask; }

template <typename Handle>
uint64_t number(const Handle* handle) {
  return uint64_t(reinterpret_cast<uintptr_t>(handle));
}

uint64_t block_number(const Slot& slot, uint64_t magic, uint32_t block, uint32_t generation) {
  const uint64_t session = generation_of(slot.state.load()) & short_generation_mask;
  return magic << 56 | uint64_t(&slot - slots) << 50 | session << 32 | uint64_t(block) << 20 |
         (generation & block_generation_mask);
}

}  // namespace

uint32_t thread_number() {
  static std::atomic<uint32_t> threads{0};
  [[gnu::tls_model("initial-exec")]] static thread_local uint32_t mine = 0;
  if (mine == 0) mine = threads.fetch_add(1) + 1;
  return mine;
}

void Call::enter(uint32_t index, uint64_t generation, uint64_t mask) {
  Slot& slot = slots[index];
  const uint32_t here = fork_number();
  const uint32_t opened = slot.fork_number.load(std::memory_order_relaxed);
  if (opened != 0 && opened != here) {
    result_ = -ECHILD;
    return;
  }
  Stripe& stripe = slot.stripe[thread_number() % stripes];
  stripe.calls.fetch_add(1);  // before the look at state: see slot_shut()
  const uint64_t state = slot.state.load();
  if (phase_of(state) != phase_open || (generation_of(state) & mask) != generation) {
    stripe.calls.fetch_sub(1);
    result_ = -ESHUTDOWN;
    return;
  }
  slot_ = &slot;
  session_ = slot.session;
  stripe_ = &stripe;
}

Call::Call(const speckv_session* handle) {
  const uint64_t value = number(handle);
  const uint32_t slot = uint32_t(value >> 40 & 0xff);
  if (!handle) {
    result_ = -EINVAL;
  } else if (value >> 56 != magic_session || slot >= sessions_max) {
    result_ = -ESHUTDOWN;
  } else if ((value >> 48 & 0xff) != (fork_number() & 0xff)) {
    result_ = -ECHILD;
  } else {
    enter(slot, value & generation_mask, generation_mask);
  }
}

void Call::enter_block(uint64_t value, uint64_t magic) {
  if (value == 0) {
    result_ = -EINVAL;
  } else if (value >> 56 != magic) {
    result_ = -EBADF;
  } else {
    block_ = uint32_t(value >> 20 & block_mask);
    block_generation_ = uint32_t(value & block_generation_mask);
    enter(uint32_t(value >> 50 & 0x3f), value >> 32 & short_generation_mask, short_generation_mask);
  }
}

Call::Call(const struct speckv_put* handle) { enter_block(number(handle), magic_put); }
Call::Call(const speckv_page* handle) { enter_block(number(handle), magic_page); }

Pin::Pin(Session& session) {
  const uint32_t stripe = thread_number() % stripes;
  for (;;) {
    Connection* connection = session.current.load();
    if (!connection) return;
    std::atomic<uint32_t>& count = connection->readers[stripe].count;
    count.fetch_add(1);
    if (session.current.load() == connection) {
      connection_ = connection;
      count_ = &count;
      return;
    }
    count.fetch_sub(1);
  }
}

void Pin::release() {
  if (count_) count_->fetch_sub(1);
  count_ = nullptr;
  connection_ = nullptr;
}

int slot_take(Slot** ret_slot) {
  uint32_t here = 0;
  const int result = fork_number_take(&here);
  if (result != 0) return result;
  for (Slot& slot : slots) {
    uint64_t state = slot.state.load();
    const bool inherited = phase_of(state) != phase_free && slot.fork_number.load() != here;
    if (phase_of(state) != phase_free && !inherited) continue;
    const uint64_t generation = (generation_of(state) + 1) & generation_mask;
    if (!slot.state.compare_exchange_strong(state, state_of(generation, phase_taken))) continue;
    if (inherited) {
      // The parent's threads and counts do not exist here. Its memory was not copied and is not
      // ours to unmap.
      if (phase_of(state) != phase_taken && slot.session) close_inherited(*slot.session);
      for (Stripe& stripe : slot.stripe) stripe.calls.store(0);
      slot.memory = nullptr;  // locks in it may be held by threads that do not exist here
    }
    slot.session = nullptr;
    slot.fork_number.store(here);
    *ret_slot = &slot;
    return 0;
  }
  return -EMFILE;
}

void slot_publish(Slot& slot, Session* session, speckv_session** ret_handle) {
  const uint64_t generation = generation_of(slot.state.load());
  for (Stripe& stripe : slot.stripe) {
    stripe.hits = stripe.misses = stripe.bytes_read = 0;
    stripe.retries = stripe.stale = stripe.corrupt = stripe.foreign = 0;
  }
  slot.session = session;
  slot.state.store(state_of(generation, phase_open));
  const uint64_t handle = magic_session << 56 | uint64_t(slot.fork_number & 0xff) << 48 |
                          uint64_t(&slot - slots) << 40 | generation;
  *ret_handle = reinterpret_cast<speckv_session*>(uintptr_t(handle));
}

void slot_free(Slot& slot) {
  slot.state.store(state_of(generation_of(slot.state.load()), phase_free));
}

Slot* slot_shut(const speckv_session* handle, bool* ret_forked) {
  const uint64_t value = number(handle);
  const uint32_t index = uint32_t(value >> 40 & 0xff);
  if (value >> 56 != magic_session || index >= sessions_max) return nullptr;
  Slot& slot = slots[index];
  uint64_t open = state_of(value & generation_mask, phase_open);
  if (!slot.state.compare_exchange_strong(open, state_of(value & generation_mask, phase_shut)))
    return nullptr;
  *ret_forked = slot.fork_number.load() != fork_number();
  return &slot;
}

bool slot_empty(const Slot& slot) {
  for (const Stripe& stripe : slot.stripe)
    if (stripe.calls.load() != 0) return false;
  return true;
}

struct speckv_put* put_handle(const Slot& slot, uint32_t block, uint32_t generation) {
  return reinterpret_cast<struct speckv_put*>(
      uintptr_t(block_number(slot, magic_put, block, generation)));
}
speckv_page* page_handle(const Slot& slot, uint32_t block, uint32_t generation) {
  return reinterpret_cast<speckv_page*>(
      uintptr_t(block_number(slot, magic_page, block, generation)));
}

}  // namespace speckv::lib
