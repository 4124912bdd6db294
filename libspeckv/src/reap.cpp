// SPDX-License-Identifier: Apache-2.0
// reap.cpp - speckv_reap and speckv_wait: completions come to the user from one queue, whatever
// their shard.
#include <cerrno>

#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/ring.hpp"

namespace speckv::lib {
namespace {

// The event is cleared before the last look at the rings: what is completed later sets it again.
int reap_locked(Session& session, speckv_completion* ret_completions, uint32_t max) {
  unsignal_user(session);
  clear_event(*session.current.load());
  drain(session);
  const uint32_t count = pop_completions(session, ret_completions, max);
  if (!session.queue_empty()) signal_user(session);
  return int(count);
}

// Or nothing that ever could be.
bool something_to_reap(const void* argument) {
  const auto& session = *static_cast<const Session*>(argument);
  return !session.queue_empty() || session.user_under_way == 0;
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_reap(speckv_session* handle, speckv_completion* ret_completions,
                           unsigned max) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  if (max == 0) return -ENODATA;
  if (!ret_completions) return -EINVAL;
  Session& session = call.session();
  const uint32_t most = max < INT32_MAX ? max : INT32_MAX;
  for (int look = 0;; look++) {
    int count = 0;
    {
      Locked rings(session.rings);
      count = reap_locked(session, ret_completions, most);
    }
    if (count != 0 || look == 1) return count;
    maintain(session);  // may find the daemon gone, which completes what was under way
  }
}

extern "C" int speckv_wait(speckv_session* handle, uint64_t timeout_ns) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  int result = 0;
  {
    Locked rings(session.rings);
    result = wait_until(session, deadline_after(timeout_ns), something_to_reap, &session);
    if (result == 0 && session.queue_empty()) result = -ENOTCONN;
  }
  if (result != 0) maintain(session);
  return result;
}
