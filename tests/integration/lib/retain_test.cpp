// SPDX-License-Identifier: Apache-2.0
// Proves that what is retained stays while the pool turns over, to its time or its end, and that
// the quota of bytes is an error for the key that is beyond it, while puts still find room.
#include "client.hpp"

namespace speckv::test {
namespace {

class Retain : public LibTest {
 protected:
  void begin_with(const std::string& lines = "") {
    DaemonOptions options;
    options.pool_bytes = "16MiB";
    options.data_threads = 1;  // each has a part of the quota
    options.namespace_lines = lines;
    begin(options);
    layout_ = small_layout(4);
    layout_.head_dim = 96;
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
  }
  void turn_over() {
    const uint64_t blocks = 2 * (16u << 20) / speckv_block_bytes(&layout_);
    for (uint64_t i = 0; i < blocks; i++) ASSERT_EQ(client().put(number_, next_++, *kv_), 0);
  }
  int retain(Client& who, uint64_t first, unsigned count, uint64_t ttl_ns = 600 * second_ns) {
    results_.assign(count, 99);
    const auto keys = keys_of(first, count);
    return speckv_retain(who.get(), number_, as_keys(keys), count, ttl_ns, 20 * second_ns,
                         results_.data(), &retained_);
  }

  speckv_layout layout_;
  uint32_t number_ = 0;
  uint64_t retained_ = 0, next_ = 1000;
  std::unique_ptr<Kv> kv_;
  std::vector<int32_t> results_;
};

TEST_F(Retain, KeepsBlocksUntilItEnds) {
  begin_with();
  for (uint64_t i = 0; i < 4; i++) ASSERT_EQ(client().put(number_, i, *kv_), 0);
  EXPECT_EQ(retain(client(), 0, 5), 4);
  EXPECT_EQ(results_, (std::vector<int32_t>{0, 0, 0, 0, -ENOENT}));
  turn_over();
  for (uint64_t i = 0; i < 4; i++) EXPECT_EQ(client().get(number_, i, *kv_), 0) << i;
  const auto keys = keys_of(0, 1);
  ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, 0), 1);
  EXPECT_EQ(client().reap(1).at(0).result, -EBUSY);
  EXPECT_EQ(speckv_unhold(client().get(), retained_), -EBADF) << "it is no hold";
  EXPECT_EQ(speckv_retain_end(client().get(), retained_), 0);
  EXPECT_EQ(speckv_retain_end(client().get(), retained_), -EBADF);
  turn_over();
  EXPECT_FALSE(client().exists(number_, 0) && client().exists(number_, 1));
}

TEST_F(Retain, TheQuotaOfBytesIsAnErrorAndPutsGoOn) {
  begin_with("retained_bytes_max = \"1MiB\"");
  const auto fit = unsigned((1u << 20) / speckv_block_bytes(&layout_));  // headers: one fewer
  for (uint64_t i = 0; i < fit + 4; i++) ASSERT_EQ(client().put(number_, i, *kv_), 0);
  const int kept = retain(client(), 0, fit + 4);
  EXPECT_GE(kept, int(fit) - 1);
  EXPECT_LE(kept, int(fit));
  EXPECT_EQ(results_.back(), -EDQUOT);
  Client other(daemon().socket_path());
  ASSERT_EQ(other.opened(), 0);
  ASSERT_EQ(other.add_layout(layout_), number_);
  const uint64_t first = retained_;
  EXPECT_EQ(retain(other, 0, 2), -EDQUOT) << "the namespace's, not the session's";
  EXPECT_EQ(results_, std::vector<int32_t>(2, -EDQUOT));
  EXPECT_EQ(retain(other, 5000, 2), -ENOENT);
  turn_over();  // what is not retained makes room
  EXPECT_EQ(speckv_retain_end(other.get(), first), -EBADF) << "another session's";
  EXPECT_EQ(speckv_retain_end(client().get(), first), 0);
  // given back, once the daemon has looked at the first session's ring
  int again = -EDQUOT;
  for (int i = 0; i < 4000 && again == -EDQUOT; i++) {
    again = retain(other, 0, 2);
    if (again == -EDQUOT) usleep(5000);
  }
  EXPECT_EQ(again, 2);
}

TEST_F(Retain, EndsWithItsSessionAndItsTime) {
  begin_with("retained_bytes_max = \"1MiB\"");
  for (uint64_t i = 0; i < 2; i++) ASSERT_EQ(client().put(number_, i, *kv_), 0);
  auto other = std::make_unique<Client>(daemon().socket_path());
  ASSERT_EQ(other->opened(), 0);
  ASSERT_EQ(other->add_layout(layout_), number_);
  EXPECT_EQ(retain(*other, 0, 1), 1);
  EXPECT_EQ(retain(client(), 1, 1, 1), 1);  // a nanosecond: over at the next look
  other.reset();
  for (uint64_t number : {0, 1}) {
    const auto keys = keys_of(number, 1);
    int result = -EBUSY;
    for (int i = 0; i < 4000 && result == -EBUSY; i++) {
      ASSERT_EQ(speckv_remove(client().get(), number_, as_keys(keys), 1, 0), 1);
      result = client().reap(1).at(0).result;
      if (result == -EBUSY) usleep(5000);
    }
    EXPECT_EQ(result, 0) << number;
  }
}

TEST_F(Retain, ADaemonThatSleepsCostsTheTimeout) {
  begin_with();
  daemon().pause();
  const auto keys = keys_of(0, 2);
  int32_t results[2] = {99, 99};
  EXPECT_EQ(speckv_retain(client().get(), number_, as_keys(keys), 2, second_ns, 1'000'000, results,
                          &retained_),
            -ETIMEDOUT);
  EXPECT_EQ(results[1], -ETIMEDOUT);
  EXPECT_EQ(speckv_retain(client().get(), number_, as_keys(keys), 2, 0, 1, results, &retained_),
            -EINVAL);
  EXPECT_EQ(speckv_retain(client().get(), number_, as_keys(keys), 2, 1, 1, nullptr, &retained_),
            -EINVAL);
  daemon().resume();
}

}  // namespace
}  // namespace speckv::test
