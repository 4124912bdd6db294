// SPDX-License-Identifier: Apache-2.0
// fake_view.hpp - a daemon of constants and one shard in plain memory, for the tests beside it.
#pragma once

#include "../journey/fixture.hpp"
#include "watch/daemon_view.hpp"

namespace speckv {

class FakeView : public watch::DaemonView {
 public:
  FakeView() {
    facts.version = "9.8";
    facts.codec_isa = "AVX2";
    facts.medium = "shm \"quoted\\\n";
    facts.isolation = "by uid";
    facts.uptime_ns = 1'500'000'000;
    facts.shards = 1;
    thread_facts.resize(1);
    thread_facts[0].wakeups = 5;
    thread_facts[0].submissions = 6;
    thread_facts[0].rejected = 7;
    thread_facts[0].device.state = "live";
    space_facts.resize(2);
    space_facts[0].name = "default";
    space_facts[1].name = "other";
    space_facts[0].written_blocks = 123;
    space_facts[0].waste = 0.0125;
    space_facts[0].free_units = 3;
    space_facts[0].spill.bytes = 1 << 30;
    session_facts = {{4, 1000, 77, "default", 1 << 20, 2}};
  }
  watch::DaemonFacts daemon() const override { return facts; }
  std::vector<watch::SpaceFacts> spaces() const override { return space_facts; }
  std::vector<watch::SessionFacts> sessions() const override { return session_facts; }
  std::vector<watch::ThreadFacts> threads() const override { return thread_facts; }
  std::span<const std::byte> index_file(size_t space) const override {
    return space == 0 ? std::span<const std::byte>(real.index(), index_bytes)
                      : std::span<const std::byte>();
  }
  std::span<const std::byte> pool_file(size_t space) const override {
    return space == 0 ? std::span<const std::byte>(real.pool(), pool_bytes)
                      : std::span<const std::byte>();
  }

  static constexpr uint64_t units = 16;
  static constexpr uint32_t buckets = 64;
  static constexpr uint64_t pool_bytes = (units + 1) * shm::unit_bytes;
  const uint64_t index_bytes = shm::index_file_bytes(1, buckets);
  watch::DaemonFacts facts;
  std::vector<watch::SpaceFacts> space_facts;
  std::vector<watch::SessionFacts> session_facts;
  std::vector<watch::ThreadFacts> thread_facts;
  mutable Space real{units, buckets};
};

}  // namespace speckv
