// SPDX-License-Identifier: Apache-2.0
// Proves that a daemon which measures K by itself comes to store it better, that nothing stored
// before or after is lost to any client by that, and that a restarted daemon knows its table again.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "client.hpp"

namespace speckv::test {
namespace {

// Two pages a block; 512 tokens are 16 blocks. `compact` stores K by chanq.
speckv_layout uneven_layout(uint32_t preset = SPECKV_PRESET_COMPACT) {
  speckv_layout layout = small_layout(2, preset);
  layout.head_dim = 64;
  layout.block_tokens = 64;
  layout.page_tokens = 32;
  return layout;
}

constexpr uint64_t blocks_wanted = 16;
constexpr uint32_t inside = 640;  // a position that opens no sequence

// K as models have it: a few channels reach far, most hardly at all.
float key_value(uint64_t seed, uint64_t index, uint32_t channel) {
  const float unit = float(mix64(seed * 0x9e3779b97f4a7c15ull + index) >> 40) / float(1 << 23) - 1;
  return unit * (channel % 16 == 0 ? 8.0f : channel % 4 == 0 ? 0.5f : 0.01f);
}

class Widths : public LibTest {
 protected:
  using Half = _Float16;

  void begin_uneven(DaemonOptions options = {}) {
    options.data_threads = 1;
    begin(options);
    number_ = client().add_layout(layout_);
  }
  // visit(the value in memory, what it should be), of K.
  template <typename Visit>
  void each_key(Kv& kv, uint64_t seed, Visit visit) {
    uint64_t index = 0;
    for (uint32_t layer = 0; layer < layout_.layers; layer++) {
      const speckv_view& at = kv.views()[2 * layer];
      for (uint32_t head = 0; head < layout_.kv_heads; head++)
        for (uint32_t token = 0; token < layout_.block_tokens; token++)
          for (uint32_t channel = 0; channel < layout_.head_dim; channel++)
            visit(reinterpret_cast<Half*>(static_cast<uint8_t*>(at.base) + token * at.token_stride +
                                          head * at.head_stride + channel * at.channel_stride),
                  key_value(seed, index++, channel));
    }
  }
  // Returns: the completion.
  speckv_completion put(Client& client, uint32_t number, uint64_t seed, bool zeros = false) {
    kv_.fill(seed);
    each_key(kv_, seed, [&](Half* at, float value) { *at = Half(zeros ? 0 : value); });
    speckv_put_op op = Client::put_op(seed, kv_, inside);
    EXPECT_EQ(speckv_put(client.get(), number, &op, 1), 1);
    const auto done = client.reap(1);
    return done.size() == 1 ? done[0] : speckv_completion{0, -ETIMEDOUT, 0};
  }
  void put_many(uint64_t first, uint64_t count, bool zeros = false) {
    for (uint64_t i = 0; i < count; i++)
      ASSERT_EQ(put(client(), number_, first + i, zeros).result, 0);
  }
  // Gets until it hits: a client that does not know the widths yet misses, and asks. Returns: the
  // mean square error of K, negative after 20 s.
  double error_of(Client& client, uint32_t number, uint64_t seed) {
    for (int i = 0; client.get(number, seed, kv_) != 0; i++) {
      if (i == 4000) return -1;
      usleep(5000);
    }
    double sum = 0;
    uint64_t count = 0;
    each_key(kv_, seed, [&](const Half* at, float value) {
      const double error = double(*at) - double(Half(value));
      sum += error * error;
      count++;
    });
    return sum / double(count);
  }
  // Puts blocks from 100 on until one is stored better, that is until the client has been told of
  // the widths. Returns: its number.
  uint64_t first_better() {
    const double equal = error_of(client(), number_, 0);
    for (uint64_t seed = 100; seed < 4000; seed++)
      if (put(client(), number_, seed).result == 0 && error_of(client(), number_, seed) < equal / 4)
        return seed;
    ADD_FAILURE() << "no block was stored better than " << equal << daemon().log();
    return 0;
  }
  bool logged(const std::string& text) {
    for (int i = 0; i < 400; i++) {
      if (daemon().log().find(text) != std::string::npos) return true;
      usleep(5000);
    }
    return false;
  }
  std::vector<std::string> tables() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(daemon_->folder() + "/widths"))
      names.push_back(entry.path().string());
    return names;
  }

  speckv_layout layout_ = uneven_layout();
  Kv kv_{layout_, Arrangement::token_major};
  uint32_t number_ = 0;
};

TEST_F(Widths, AreMeasuredAndBetterAndLoseNothing) {
  begin_uneven();
  Client other(daemon().socket_path());
  const uint32_t others = other.add_layout(layout_);
  put_many(0, blocks_wanted);
  ASSERT_TRUE(logged("widths measured on 512 tokens of K")) << daemon().log();
  const uint64_t better = first_better();
  const double before = error_of(client(), number_, 0);
  const double after = error_of(client(), number_, better);
  // Who registered before and who comes now: both read old and new blocks.
  EXPECT_DOUBLE_EQ(error_of(other, others, better), after);
  EXPECT_DOUBLE_EQ(error_of(other, others, 0), before);
  Client late(daemon().socket_path());
  const uint32_t lates = late.add_layout(layout_);
  EXPECT_DOUBLE_EQ(error_of(late, lates, better), after);
  EXPECT_DOUBLE_EQ(error_of(late, lates, 0), before);
  EXPECT_TRUE(late.exists(lates, 0) && late.exists(lates, better));
  for (const uint64_t seed : {uint64_t{0}, better})  // both are this layout's blocks: there already
    EXPECT_EQ(put(client(), number_, seed).flags, SPECKV_COMPLETION_EXISTED) << seed;
}

TEST_F(Widths, NobodyMissesWhatItHasPutItself) {
  begin_uneven();
  for (uint64_t seed = 0; seed < 8 * blocks_wanted; seed++) {
    ASSERT_EQ(put(client(), number_, seed).result, 0);
    ASSERT_TRUE(client().exists(number_, seed)) << seed;
    ASSERT_EQ(client().get(number_, seed, kv_), 0) << seed;
  }
  EXPECT_GT(first_better(), 0u);
}

TEST_F(Widths, OfOnePresetServeTheOthersOfTheLayout) {
  begin_uneven();
  layout_.preset = SPECKV_PRESET_EXACT;
  const uint32_t exact = client().add_layout(layout_);
  put_many(0, blocks_wanted + 1);
  ASSERT_TRUE(logged("widths measured on 512 tokens of K")) << daemon().log();
  const uint64_t better = first_better();
  EXPECT_EQ(put(client(), exact, better).flags, SPECKV_COMPLETION_EXISTED);
  EXPECT_GT(error_of(client(), exact, better), 0);
  ASSERT_EQ(put(client(), exact, 5000).result, 0);
  EXPECT_EQ(error_of(client(), exact, 5000), 0);
  EXPECT_EQ(error_of(client(), number_, 5000), 0);
}

TEST_F(Widths, OutliveTheDaemon) {
  begin_uneven();
  put_many(0, blocks_wanted);
  ASSERT_TRUE(logged("widths measured on 512 tokens of K"));
  const uint64_t better = first_better();
  const double after = error_of(client(), number_, better);
  daemon().kill();
  ASSERT_TRUE(daemon().start()) << daemon().log();
  const double old = error_of(client(), number_, 0);
  EXPECT_DOUBLE_EQ(error_of(client(), number_, better), after);
  Client late(daemon().socket_path());  // it never met the daemon that measured
  const uint32_t lates = late.add_layout(layout_);
  EXPECT_DOUBLE_EQ(error_of(late, lates, better), after);
  EXPECT_DOUBLE_EQ(error_of(late, lates, 0), old);
  EXPECT_EQ(put(late, lates, better).flags, SPECKV_COMPLETION_EXISTED);
}

TEST_F(Widths, WhoseFileIsDamagedAreMeasuredAnew) {
  begin_uneven();
  put_many(0, blocks_wanted);
  ASSERT_TRUE(logged("widths measured on 512 tokens of K"));
  const uint64_t better = first_better();
  daemon().kill();
  ASSERT_EQ(tables().size(), 1u);
  std::filesystem::resize_file(tables()[0], better);
  ASSERT_TRUE(daemon().start()) << daemon().log();
  Client late(daemon().socket_path());
  const uint32_t lates = late.add_layout(layout_);
  EXPECT_TRUE(logged("widths are measured anew")) << daemon().log();
  EXPECT_GT(error_of(late, lates, 0), 0);            // equal widths: still there
  EXPECT_EQ(late.get(lates, better, kv_), -ENOENT);  // a miss, nothing worse
  EXPECT_EQ(put(late, lates, better).flags, 0u);     // and stored again
  EXPECT_GT(error_of(late, lates, better), 0);
}

TEST_F(Widths, OfATenantAreItsOwn) {
  DaemonOptions options;
  options.more = "[[namespace]]\nname = \"tenant\"\nbytes = \"16MiB\"\nanyone = true\n";
  options.pool_bytes = "64MiB";
  begin_uneven(options);
  put_many(0, blocks_wanted);
  ASSERT_TRUE(logged("namespace default: widths measured"));
  Client tenant(daemon().socket_path(), "tenant");
  const uint32_t number = tenant.add_layout(layout_);
  ASSERT_EQ(put(tenant, number, 0).result, 0);
  const uint64_t better = first_better();
  EXPECT_GT(error_of(tenant, number, 0), 2 * error_of(client(), number_, better));
  EXPECT_EQ(tables().size(), 1u);
}

TEST_F(Widths, AreNotMadeOfZeros) {
  begin_uneven();
  put_many(0, 2 * blocks_wanted, true);
  put_many(100, blocks_wanted - 1);
  EXPECT_TRUE(tables().empty());
  put_many(200, 1);
  EXPECT_TRUE(logged("widths measured on 512 tokens of K")) << daemon().log();
}

TEST_F(Widths, StayEqualWhereTheOperatorWantsThat) {
  DaemonOptions options;
  options.daemon_lines = "measure_widths = false\n";
  begin_uneven(options);
  put_many(0, 2 * blocks_wanted);
  EXPECT_EQ(daemon().log().find("widths measured"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(daemon().folder() + "/widths"));
}

TEST_F(Widths, ThatCannotBeKeptAreNotUsed) {
  begin_uneven();
  std::filesystem::remove(daemon().folder() + "/widths");
  put_many(0, blocks_wanted);
  EXPECT_TRUE(logged("cannot be kept and are not used")) << daemon().log();
  put_many(80, 21);
  EXPECT_GT(error_of(client(), number_, 100), 0.5 * error_of(client(), number_, 0));
}

}  // namespace
}  // namespace speckv::test
