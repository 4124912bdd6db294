// SPDX-License-Identifier: Apache-2.0
// open.cpp - speckv_open and speckv_close: from arguments to a session with a live connection, and
// its end.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/maps.hpp"
#include "src/ring.hpp"
#include "src/teardown.hpp"
#include "src/views.hpp"
#include "src/wire_io.hpp"

namespace speckv::lib {
namespace {

constexpr char socket_default[] = "/run/speckv/speckv.sock";
constexpr char namespace_default[] = "default";

// Zeroed memory of its own pages. Returns: nullptr when there is none.
void* map_zeroed(size_t bytes) {
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return map == MAP_FAILED ? nullptr : map;
}

int check_args(const speckv_open_args& args) {
  if (!grown_struct_fits(args) || args.flags != 0 || args.daemon_uid < -1) return -EINVAL;
  for (uint64_t word : args.reserved)
    if (word) return -EINVAL;
  return 0;
}

int copy_name(char* to, size_t bytes, const char* from) {
  const size_t length = std::strlen(from);
  if (length == 0 || length >= bytes) return -EINVAL;
  std::memcpy(to, from, length + 1);
  return 0;
}

int set_args(Session& session, const speckv_open_args& args) {
  const char* path = args.socket_path ? args.socket_path : std::getenv("SPECKV_SOCKET");
  int result =
      copy_name(session.socket_path, sizeof session.socket_path, path ? path : socket_default);
  if (result != 0) return result;
  result = copy_name(session.namespace_name, sizeof session.namespace_name,
                     args.namespace_name ? args.namespace_name : namespace_default);
  session.arena_bytes = args.arena_bytes;
  session.timeout_ns = uint64_t{1'000'000} * (args.timeout_ms ? args.timeout_ms : open_timeout_ms);
  session.peer = whom_to_trust(args.daemon_uid);
  return result;
}

int set_tables(Session& session) {
  session.records = static_cast<Record*>(map_zeroed(records_max * sizeof(Record)));
  session.blocks = static_cast<OpenBlock*>(map_zeroed(blocks_max * sizeof(OpenBlock)));
  session.layouts = static_cast<LayoutInfo*>(map_zeroed(layouts_max * sizeof(LayoutInfo)));
  if (!session.records || !session.blocks || !session.layouts) return -ENOMEM;
  session.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (session.wake < 0) return -errno;
  if (getrandom(&session.hold_seed, sizeof session.hold_seed, GRND_NONBLOCK) !=
      sizeof session.hold_seed)
    session.hold_seed = now_ns() ^ uint64_t(getpid()) << 32;
  return 0;
}

int connect_first(Session& session) {
  Locked control(session.control);
  const uint64_t deadline = deadline_after(session.timeout_ns);
  int result = handshake_start(session);
  while (result == -EAGAIN && now_ns() < deadline) {  // the daemon's backlog is full
    usleep(1000);
    result = handshake_start(session);
  }
  if (result == -EAGAIN) return -ETIMEDOUT;
  while (result == 0) result = handshake_step(session, deadline);
  if (result != 1) return result;
  populate(*session.current.load(), UINT64_MAX);  // what opening may take, no later call may
  return 0;
}

// Returns: a session in memory that is kept for the next use of the slot.
Session* make_session(Slot& slot) {
  void* memory = slot.memory ? slot.memory : map_zeroed(sizeof(Session));
  if (!memory) return nullptr;
  slot.memory = memory;
  return new (memory) Session();  // all zero but for what says otherwise
}

int open_session(Slot& slot, const speckv_open_args& args, speckv_session** ret_handle) {
  Session* session = make_session(slot);
  if (!session) return -ENOMEM;
  int result = set_args(*session, args);
  if (result == 0) result = set_tables(*session);
  if (result == 0) result = connect_first(*session);
  if (result == 0) {
    slot_publish(slot, session, ret_handle);
    return 0;
  }
  end_session(*session);
  session->~Session();
  return result;
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_open(const speckv_open_args* args, speckv_session** ret_session) {
  if (!ret_session) return -EINVAL;
  speckv_open_args defaults{};
  defaults.size = sizeof defaults;
  defaults.daemon_uid = -1;
  const int checked = args ? check_args(*args) : 0;
  if (checked != 0) return checked;
  Slot* slot = nullptr;
  const int taken = slot_take(&slot);
  if (taken != 0) return taken;
  const int result = open_session(*slot, args ? *args : defaults, ret_session);
  if (result != 0) slot_free(*slot);
  return result;
}

extern "C" void speckv_close(speckv_session* handle) {
  bool forked = false;
  Slot* slot = handle ? slot_shut(handle, &forked) : nullptr;
  if (!slot) return;
  Session& session = *slot->session;
  if (forked) {
    close_inherited(session);
    slot->memory = nullptr;  // locks in it may be held by threads that do not exist here
    slot_free(*slot);
    return;
  }
  session.closing.store(true);
  while (!slot_empty(
      *slot)) {  // each call ends by itself, at its deadline at the latest; waits end now
    {
      Locked rings(session.rings);
      session.rings.wake_all();
      wake_leader(session);
    }
    usleep(50);
  }
  end_session(session);
  session.~Session();
  slot_free(*slot);
}
