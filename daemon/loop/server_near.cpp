// SPDX-License-Identifier: Apache-2.0
// server_near.cpp - what a server does for near memory: finds the layout of a block that is read
// often, and lets the engine decode it where puts leave room.
//
// A touch names a block and no layout, so the layout is looked for among those of the session that
// touched it; without its session's layouts nobody could have read it. What is decoded is charged
// to the namespace as what it puts: who reads much near is not served before others.
#include "loop/server.hpp"

namespace speckv {

void Server::touched(Tenant& tenant, Client& client, uint32_t block) {
  Shard& shard = *tenant.space.shard;
  if (!shard.touch(block, now_ns_)) return;
  const uint64_t fingerprint = shard.fingerprint_of(block);
  for (uint32_t number = 0; number < session_layouts_max; number++) {
    const Layout* layout = client.session->layout(number).layout;
    if (!layout) return;
    const Widths* widths = layout->widths->find(fingerprint);
    if (!widths) continue;
    shard.bring_near(block, *layout, *widths, client.session, now_ns_);
    return;
  }
}

// After those who wait for something.
void Server::serve_near() {
  int64_t cost = 0;
  for (Tenant& tenant : tenants_) {
    Shard& shard = *tenant.space.shard;
    while (cost < turn_cost_max && tenant.share.credit > 0 && shard.has_near_job()) {
      const auto bytes = int64_t(shard.start_near_job());
      if (bytes == 0) {
        near_blocked_at_ = progress_;
        return;
      }
      moved_ns_ = now_ns_;
      tenant.share.credit -= bytes;
      cost += bytes;
      if (engine_.wake_fd() < 0) collect();
    }
  }
}

}  // namespace speckv
