// SPDX-License-Identifier: Apache-2.0
// Proves that a codec engine of the driver encodes what clients put, with the bytes that the cpu
// makes of it, and that one which lies, or gives no answer, costs clients nothing but time. The
// engine is fpga/device's process behind QEMU; the guest's third serial port is where it is asked
// to do wrong.
//
// Each segment is encoded again by the daemon and compared (check_one_in = 1); and what clients
// read is compared with what a daemon without an engine gives them.
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "engine_guest.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t blocks = engine_blocks_max;

// Each block often, and the same each time.
int read_until_near(const std::string& path, uint64_t* ret_read) {
  RealClient client(path, "default", engine_presets[1]);
  if (client.opened() != 0) return 1;
  std::vector<uint64_t> sums(blocks);
  for (uint64_t number = 0; number < blocks; number++)
    if (client.put(number) != 0) return 2;
  for (int round = 0; round < 30; round++)
    for (uint64_t number = 0; number < blocks; number++) {
      if (client.get(number) < 0) return 3;
      if (round && client.block().sum() != sums[number]) return 4;
      sums[number] = client.block().sum();
      ++*ret_read;
    }
  return 0;
}

class Engine : public ::testing::Test {
 protected:
  void begin(const DaemonOptions& options) {
    daemon_ = std::make_unique<DaemonProcess>(options);
    if (!daemon_->start()) throw std::runtime_error("speckvd did not start: " + daemon_->log());
  }
  void TearDown() override {
    device_is_told("heal");
    if (daemon_) daemon_->stop();
    daemon_.reset();
    EXPECT_TRUE(eventually([] { return region_bytes("used") == 0 && region_bytes("dirty") == 0; }))
        << "extents that nobody holds are given back, and nothing stays lent";
  }
  // All of it, by a client of another uid.
  EngineStory* tell_story() {
    EngineStory* story = tell_engine_story(daemon_->socket_path(), blocks);
    EXPECT_TRUE(story->is_whole()) << story->stored << " stored, " << story->read << " read\n"
                                   << daemon_->log();
    return story;
  }
  // The same without an engine.
  EngineStory* cpu_story() {
    if (daemon_) daemon_->stop();
    begin(engine_daemon("cpu"));
    return tell_story();
  }
  bool logged(const char* text) const {
    return eventually([&] { return daemon_->log().find(text) != std::string::npos; });
  }
  // Tables have to be loaded again, while the cpu goes on.
  bool encodes_more() {
    const uint64_t before = field("encoded_segments");
    for (uint64_t first = 1000; first < 2000 && field("encoded_segments") == before; first += 20) {
      const auto put_some = [&] {
        RealClient client(daemon_->socket_path(), "default", engine_presets[0]);
        for (uint64_t number = first; number < first + 20; number++)
          if (client.put(number) != 0) return 1;
        return 0;
      };
      EXPECT_EQ(run_as(uid_one, put_some), 0);
    }
    return field("encoded_segments") > before;
  }
  uint64_t field(const char* name) const { return status_field(daemon_->socket_path(), name); }
  static void expect_same(const EngineStory* one, const EngineStory* other) {
    EXPECT_TRUE(one->reads_like(*other));
  }
  void print(const char* what) const {
    std::printf(
        "# %s: %lu commands, %lu segments (%lu KiB to %lu KiB), %lu by the cpu, %lu again, "
        "%lu compared, %lu tables, %lu lies, %lu late, %lu times set aside\n",
        what, field("commands"), field("encoded_segments"), field("encoded_raw_bytes") >> 10,
        field("encoded_stored_bytes") >> 10, field("segments_by_cpu"), field("segments_again"),
        field("checked_segments"), field("tables"), field("lies"), field("late"),
        field("set_aside"));
  }

  std::unique_ptr<DaemonProcess> daemon_;
};

TEST_F(Engine, WhatItStoresIsWhatTheCpuStores) {
  begin(engine_daemon("device"));
  const EngineStory* story = tell_story();
  print("the engine");
  const uint64_t segments = field("encoded_segments");
  EXPECT_GT(segments, 0u) << "of 756; the first ones are the cpu's, until tables are loaded";
  EXPECT_EQ(segments + field("segments_by_cpu"), 756u);
  EXPECT_EQ(field("checked_segments"), segments);
  EXPECT_EQ(field("lies") + field("late") + field("set_aside") + field("segments_again"), 0u);
  EXPECT_GT(field("encoded_raw_bytes"), field("encoded_stored_bytes"));
  expect_same(story, cpu_story());
}

// A queue pair and half of table memory each.
TEST_F(Engine, TwoDataThreadsShareIt) {
  DaemonOptions options = engine_daemon("device");
  options.data_threads = 2;
  begin(options);
  const EngineStory* story = tell_story();
  print("the first of two");
  EXPECT_TRUE(logged("2 of 2 data threads"));
  EXPECT_GT(field("encoded_segments"), 0u);
  EXPECT_EQ(field("lies") + field("late") + field("set_aside") + field("segments_again"), 0u);
  EXPECT_EQ(daemon_->log().find("set aside"), std::string::npos) << daemon_->log();
  expect_same(story, cpu_story());
}

// Each preset goes to who encodes it faster here; both are said, and the bytes are the same.
TEST_F(Engine, AutoMeasuresBoth) {
  begin(engine_daemon("auto"));
  for (const char* preset : {"lossless", "q8", "near-lossless", "balanced", "compact", "tight"})
    for (const char* work : {": the engine encodes ", ": the engine decodes "})
      EXPECT_TRUE(logged((std::string(preset) + work).c_str())) << daemon_->log();
  EXPECT_EQ(daemon_->log().find("codes 0 MB/s"), std::string::npos) << daemon_->log();
  const EngineStory* story = tell_story();
  print("auto");
  EXPECT_EQ(field("lies") + field("late") + field("set_aside"), 0u);
  expect_same(story, cpu_story());
}

// Near memory: what is read often stands there decoded, by the engine; what clients read of it is
// what they read before.
TEST_F(Engine, WhatItDecodesIsWhatTheCpuDecodes) {
  DaemonOptions options = engine_daemon("device", 5000);
  options.namespace_lines += "\nnear_bytes = \"64MiB\"";
  begin(options);
  auto* good = static_cast<uint64_t*>(shared_memory(sizeof(uint64_t)));
  EXPECT_EQ(run_as(uid_one, [&] { return read_until_near(daemon_->socket_path(), good); }), 0);
  EXPECT_TRUE(eventually([&] { return field("brought_blocks") > 0; })) << daemon_->log();
  print("near");
  std::printf("# near: %lu segments decoded by the engine\n", field("decoded_segments"));
  EXPECT_GT(field("decoded_segments"), 0u);
  EXPECT_EQ(field("lies") + field("late") + field("set_aside"), 0u);
}

// What it does wrong, and what of it the daemon counts.
struct Wrong {
  const char* fault;
  const char* counted;
};

class EngineFault : public Engine, public ::testing::WithParamInterface<Wrong> {};

// In the middle of puts: each is answered, and what is read is what the cpu makes of it. The engine
// is set aside, tried, and trusted again.
TEST_P(EngineFault, CostsAClientNothingButTime) {
  const EngineStory* right = cpu_story();
  daemon_->stop();
  begin(engine_daemon("device", 3000));
  ASSERT_TRUE(device_is_told(std::string(GetParam().fault) + " after=60"));
  const EngineStory* story = tell_story();
  EXPECT_TRUE(eventually([&] { return field("engines_live") == 1; })) << daemon_->log();
  print(GetParam().fault);
  EXPECT_TRUE(logged("codec engine set aside: ")) << daemon_->log();
  EXPECT_TRUE(logged("codec engine trusted again")) << daemon_->log();
  EXPECT_GE(field(GetParam().counted), 1u);
  EXPECT_GE(field("set_aside"), 1u);
  EXPECT_GE(field("segments_again"), 1u);
  EXPECT_GE(field("self_tests"), 3u);
  EXPECT_EQ(field("failed_blocks"), 0u);
  EXPECT_EQ(field("given_up_slots"), 0u);
  expect_same(story, right);
  EXPECT_TRUE(encodes_more()) << "it works again";
}

INSTANTIATE_TEST_SUITE_P(Each, EngineFault,
                         ::testing::Values(Wrong{"garbage", "lies"}, Wrong{"checksum", "lies"},
                                           Wrong{"stuck", "late"}, Wrong{"reset", "late"},
                                           Wrong{"twice", "errors"}),
                         [](const auto& each) { return std::string(each.param.fault); });

constexpr const char* engine_folder = "/sys/bus/pci/drivers/speckv";

// The address of the one function that the driver has.
std::string engine_address() {
  for (const auto& entry : std::filesystem::directory_iterator(engine_folder))
    if (entry.path().filename().string().rfind("0000:", 0) == 0) return entry.path().filename();
  return "";
}

void tell_driver(const char* what, const std::string& text) {
  std::ofstream(std::filesystem::path(engine_folder) / what) << text;
}

class EngineGone : public Engine, public ::testing::WithParamInterface<const char*> {};

// It answers neither its own reset nor the function's, or is not there any more: nobody knows what
// it still writes. Its slots are given up, the rest goes on; unbound and bound anew it is the
// daemon's again.
TEST_P(EngineGone, LosesItsSlotsAndIsTakenBackWhenBoundAnew) {
  const EngineStory* right = cpu_story();
  daemon_->stop();
  begin(engine_daemon("device", 3000));
  ASSERT_TRUE(device_is_told(std::string(GetParam()) + " after=60"));
  const EngineStory* story = tell_story();
  print(GetParam());
  EXPECT_GE(field("given_up_slots"), 1u);
  EXPECT_EQ(field("failed_blocks"), 0u);
  EXPECT_EQ(field("engines_live"), 0u);
  expect_same(story, right);
  daemon_->stop();
  begin(engine_daemon("device", 3000));  // the next daemon finds it so, and goes on without
  expect_same(tell_story(), right);
  EXPECT_EQ(field("engines_live"), 0u);
  const std::string address = engine_address();
  ASSERT_NE(address, "");
  ASSERT_TRUE(device_is_told("heal"));
  tell_driver("unbind", address);
  tell_driver("bind", address);
  EXPECT_TRUE(eventually([&] { return field("engines_live") == 1; })) << daemon_->log();
}

INSTANTIATE_TEST_SUITE_P(Each, EngineGone, ::testing::Values("deaf", "link-down"),
                         [](const auto& each) { return std::string(each.param).substr(0, 4); });

// Puts through the daemon's death; then everything again, and reads it.
int put_through_a_death(const std::string& path) {
  RealClient client(path, "default", engine_presets[0]);
  if (client.opened() != 0) return 1;
  const uint64_t before = client.client().stats().reconnects;
  uint64_t number = 0;
  while (number < blocks && client.put(number) == 0) number++;
  if (number == blocks || !client.reconnected(before)) return 2;
  for (number = 0; number < blocks; number++) {
    int tries = 0;
    while (client.put(number) != 0)
      if (++tries == 20) return 3;
  }
  for (number = 0; number < blocks; number++)
    if (client.get(number) < 0) return 4;
  return 0;
}

// The next one has its extents, and the engine still writes to them.
TEST_F(Engine, ADaemonThatIsKilledLeavesNoCommandToTheNext) {
  DaemonOptions options = engine_daemon("device", 5000);
  options.keeper = true;
  begin(options);
  ASSERT_TRUE(device_is_told("slow count=all after=40 ms=1000"));
  const pid_t client =
      spawn_as(uid_one, [&] { return put_through_a_death(daemon_->socket_path()); });
  ASSERT_TRUE(
      eventually([&] { return field("commands") > 45 && field("commands_under_way") > 0; }));
  ASSERT_EQ(::kill(listener(daemon_->socket_path()), SIGKILL), 0);
  EXPECT_TRUE(logged("commands of an earlier daemon: waiting for them")) << daemon_->log();
  ASSERT_TRUE(device_is_told("heal"));
  EXPECT_EQ(wait_for(client), 0) << daemon_->log();
  EXPECT_EQ(field("lies"), 0u);
}

}  // namespace
}  // namespace speckv::test
