// SPDX-License-Identifier: Apache-2.0
// spill_daemon.hpp - a real daemon with a real spill file, a client of it, and blocks that are put
// and read back. For this folder's tests.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "client.hpp"
#include "clients.hpp"
#include "tier_folder.hpp"

namespace speckv::test {

class SpillDaemon : public LibTest {
 protected:
  void SetUp() override {
    folder_ = make_tier_folder("spilled");
    ASSERT_FALSE(folder_.empty());
  }
  void TearDown() override {
    client_.reset();
    daemon_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string spill_path() const { return spill_.empty() ? folder_ + "/spill" : spill_; }
  // A pool of 16 MiB, a tier of 128 MiB below it. lines: more of the namespace, and other tables.
  void begin_spilled(const std::string& lines = "", const std::string& session_lines = "") {
    DaemonOptions options;
    options.session_lines = session_lines;
    options.pool_bytes = "16MiB";
    options.data_threads = data_threads_;
    options.namespace_lines = "spill_path = \"" + spill_path() + "\"\nspill_bytes = \"128MiB\"\n" +
                              "spill_entries = 4096\n" + lines;
    begin(options);
    layout_ = small_layout(4);
    layout_.head_dim = 96;
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  }
  void put(uint64_t first, uint64_t count) {
    const uint64_t breath_blocks =
        std::max<uint64_t>(1, breath_bytes / speckv_block_bytes(&layout_));
    for (uint64_t i = first; i < first + count; i++) {
      ASSERT_EQ(client().put(number_, i, *kv_), 0) << i;
      if ((i + 1) % breath_blocks == 0) usleep(2000);  // a storm would outrun any disk
    }
  }
  // Blocks that had to go before the disk had taken them, since the daemon's start: a busy disk
  // takes some of a test's. They are misses, and the daemon says how many.
  uint64_t unwritten() const {
    const nlohmann::json status = status_of(daemon_->socket_path());
    return status["namespaces"][0]["spill"]["unwritten_blocks"].get<uint64_t>();
  }
  // Reads all of them. Returns: how many came back; the rest are those that the disk did not take.
  uint64_t read_what_was_spilled(uint64_t first, uint64_t count) {
    const uint64_t lost = unwritten(), found = read_back(first, count);
    EXPECT_GE(found + lost, count) << daemon().log();
    EXPECT_GT(found, count / 2) << daemon().log();
    return found;
  }
  // Held one by one and read. Returns: how many were there; wrong ones fail the test.
  uint64_t read_back(uint64_t first, uint64_t count) {
    uint64_t found = 0;
    for (uint64_t i = first; i < first + count; i++) {
      uint64_t held = 0;
      uint8_t hit = 0;
      const auto keys = keys_of(i, 1);
      const int leading = speckv_hold(client().get(), number_, as_keys(keys), 1, 20 * second_ns,
                                      20 * second_ns, &hit, &held);
      EXPECT_GE(leading, 0) << i << ": " << leading << daemon().log();
      if (leading != 1) continue;
      found++;
      EXPECT_EQ(client().get(number_, i, *kv_), 0) << i;
      EXPECT_EQ(kv_->wrong(i), 0u) << i;
      EXPECT_EQ(speckv_unhold(client().get(), held), 0);
    }
    return found;
  }
  bool reconnected(uint64_t before) {
    for (int i = 0; i < 4000; i++) {
      if (client().stats().reconnects > before) return true;
      client().get(number_, 987654, *kv_);
      usleep(5000);
    }
    return false;
  }

  static constexpr uint64_t breath_bytes = 768u << 10;
  uint32_t data_threads_ = 1;
  std::string folder_, spill_;
  speckv_layout layout_;
  uint32_t number_ = 0;
  std::unique_ptr<Kv> kv_;
};

}  // namespace speckv::test
