// SPDX-License-Identifier: Apache-2.0
// stats.cpp - speckv_stats and speckv_version.
#include <cerrno>
#include <cstring>

#include "codec/codec.hpp"
#include "src/handle.hpp"

namespace speckv::lib {
namespace {

struct Version {
  char text[48];
  Version() {
    static constexpr char number[] = "1.1 ";
    static_assert(SPECKV_VERSION_MAJOR == 1 && SPECKV_VERSION_MINOR == 1);
    const std::string_view isa = codec::isa();
    const size_t length = isa.size() < 40 ? isa.size() : 40;
    std::memcpy(text, number, sizeof number);
    std::memcpy(text + sizeof number - 1, isa.data(), length);
    text[sizeof number - 1 + length] = 0;
  }
};

void add_stripes(const Slot& slot, struct speckv_stats& stats) {
  for (const Stripe& stripe : slot.stripe) {
    stats.hits += stripe.hits;
    stats.misses += stripe.misses;
    stats.bytes_read += stripe.bytes_read;
    stats.retries += stripe.retries;
    stats.stale += stripe.stale;
    stats.corrupt += stripe.corrupt;
    stats.foreign += stripe.foreign;
  }
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_stats(speckv_session* handle, struct speckv_stats* ret_stats) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  if (!ret_stats || ret_stats->size < sizeof *ret_stats) return -EINVAL;
  const Session& session = call.session();
  struct speckv_stats stats {};
  stats.size = ret_stats->size;
  add_stripes(call.slot(), stats);
  const Pin connection(call.session());
  stats.connected = !connection->lost.load();
  stats.puts = session.puts;
  stats.put_bytes = session.put_bytes;
  stats.reconnects = session.reconnects;
  stats.pool_bytes = connection->pool.bytes;
  stats.pool_page_bytes = connection->pool_page_bytes;
  *ret_stats = stats;
  return 0;
}

extern "C" const char* speckv_version(void) {
  static const Version version;
  return version.text;
}
