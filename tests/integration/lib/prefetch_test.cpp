// SPDX-License-Identifier: Apache-2.0
// Proves what asking ahead says, mostly without a tier below the pool: each key its outcome, one
// completion a prefetch, every bad argument its errno and nothing asked; that a load waits for what
// may come, never past its deadline, whatever the daemon does; and that a client which asks all day
// keeps nobody else from being served.
#include <filesystem>
#include <thread>

#include "client.hpp"
#include "src/clock.hpp"
#include "tier_folder.hpp"

namespace speckv::test {
namespace {

class Prefetch : public LibTest {
 protected:
  void begin_with(std::initializer_list<uint64_t> numbers, const std::string& lines = "") {
    DaemonOptions options;
    options.data_threads = 1;
    options.namespace_lines = lines;
    begin(options);
    layout_ = small_layout();
    number_ = client().add_layout(layout_);
    kv_ = std::make_unique<Kv>(layout_, Arrangement::token_major);
    for (uint64_t number : numbers) ASSERT_EQ(client().put(number_, number, *kv_), 0);
  }
  // Without a tier below nobody is asked about absent keys.
  void begin_over_a_tier() {
    below_ = make_tier_folder("prefetch");
    ASSERT_FALSE(below_.empty());
    begin_with({}, "spill_path = \"" + below_ + "/spill\"\nspill_bytes = \"64MiB\"\n");
  }
  ~Prefetch() override {
    if (!below_.empty()) std::filesystem::remove_all(below_);
  }
  static speckv_prefetch_args args(uint64_t user_data) {
    speckv_prefetch_args args{};
    args.size = sizeof args;
    args.deadline_ns = SPECKV_NO_DEADLINE;
    args.budget_bytes = SPECKV_NO_BUDGET;
    args.user_data = user_data;
    return args;
  }
  int ask(uint64_t first, unsigned count, const speckv_prefetch_args& args) {
    const auto keys = keys_of(first, count);
    return speckv_prefetch_begin(client().get(), number_, as_keys(keys), count, &args, &prefetch_);
  }
  std::vector<uint32_t> outcomes(unsigned count) {
    outcomes_.assign(count, {99, 99});
    leading_ = speckv_prefetch_outcomes(client().get(), prefetch_, outcomes_.data(), count);
    std::vector<uint32_t> kinds;
    for (const speckv_outcome& each : outcomes_) kinds.push_back(each.outcome);
    return kinds;
  }
  int load(uint64_t first, unsigned count, uint64_t deadline_ns) {
    ops_.assign(count, {});
    buffers_.clear();
    for (unsigned i = 0; i < count; i++) {
      buffers_.push_back(std::make_unique<Kv>(layout_, Arrangement::token_major));
      std::memcpy(ops_[i].key, key_of(first + i).bytes, sizeof ops_[i].key);
      ops_[i].buf = buffers_[i]->buf();
    }
    return speckv_load(client().get(), number_, ops_.data(), count, deadline_ns);
  }

  std::string below_;
  speckv_layout layout_;
  uint32_t number_ = 0;
  uint64_t prefetch_ = 0;
  int leading_ = 0;
  std::unique_ptr<Kv> kv_;
  std::vector<std::unique_ptr<Kv>> buffers_;
  std::vector<speckv_outcome> outcomes_;
  std::vector<speckv_get_op> ops_;
};

TEST_F(Prefetch, EachKeyHasItsOutcomeAndTheWholeOneCompletion) {
  begin_with({0, 1, 3});
  ASSERT_EQ(ask(0, 5, args(77)), 5);
  const auto done = client().reap(1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].user_data, 77u);
  EXPECT_EQ(done[0].result, 0);
  EXPECT_EQ(outcomes(5), (std::vector<uint32_t>{SPECKV_OUTCOME_READY, SPECKV_OUTCOME_READY,
                                                SPECKV_OUTCOME_MISSING, SPECKV_OUTCOME_READY,
                                                SPECKV_OUTCOME_MISSING}));
  EXPECT_EQ(leading_, 2);
  EXPECT_EQ(outcomes_[2].error, -ENOENT);
  EXPECT_EQ(outcomes_[0].error, 0);
  EXPECT_EQ(outcomes(3).size(), 3u);
  EXPECT_EQ(leading_, 2);
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), -EBADF);
  EXPECT_EQ(speckv_wait(client().get(), 0), -ENOTCONN);  // nothing is under way
}

TEST_F(Prefetch, BadArgumentsHaveTheirErrnoAndAskNothing) {
  begin_with({0});
  const auto refused = [&](auto change) {
    speckv_prefetch_args bad = args(1);
    change(bad);
    prefetch_ = 4711;
    const int result = ask(0, 3, bad);
    EXPECT_EQ(prefetch_, 4711u);
    return result;
  };
  EXPECT_EQ(refused([](auto& a) { a.budget_bytes = 0; }), -EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.budget_bytes = uint64_t{1} << 50; }), -ERANGE);
  EXPECT_EQ(refused([](auto& a) { a.deadline_ns = 0; }), -ETIMEDOUT);
  EXPECT_EQ(refused([](auto& a) { a.deadline_ns = lib::now_ns() - 1; }), -ETIMEDOUT);
  EXPECT_EQ(refused([](auto& a) { a.tier = 1; }), -EOPNOTSUPP);
  EXPECT_EQ(refused([](auto& a) { a.size = 8; }), -EINVAL);
  EXPECT_EQ(refused([](auto& a) { a.reserved[3] = 1; }), -EINVAL);
  const auto keys = keys_of(0, 1);
  const speckv_prefetch_args good = args(1);
  speckv_session* session = client().get();
  EXPECT_EQ(speckv_prefetch_begin(session, number_, as_keys(keys), 0, &good, &prefetch_), -ENODATA);
  EXPECT_EQ(speckv_prefetch_begin(session, number_, as_keys(keys), SPECKV_BATCH_MAX + 1, &good,
                                  &prefetch_),
            -E2BIG);
  EXPECT_EQ(speckv_prefetch_begin(session, number_, nullptr, 1, &good, &prefetch_), -EINVAL);
  EXPECT_EQ(speckv_prefetch_begin(session, number_, as_keys(keys), 1, &good, nullptr), -EINVAL);
  EXPECT_EQ(speckv_prefetch_begin(session, 63, as_keys(keys), 1, &good, &prefetch_), -EBADF);
  speckv_outcome outcome;
  EXPECT_EQ(speckv_prefetch_outcomes(session, 4711, &outcome, 1), -EBADF);
  EXPECT_EQ(speckv_prefetch_outcomes(session, 0, &outcome, 1), -EBADF);
  EXPECT_EQ(speckv_wait(session, 0), -ENOTCONN);  // nothing of all this is under way
  ASSERT_EQ(ask(0, 1, good), 1);
  EXPECT_EQ(speckv_prefetch_outcomes(session, prefetch_, &outcome, 2), -ERANGE);
  EXPECT_EQ(speckv_prefetch_end(session, prefetch_), 0);
  EXPECT_EQ(client().reap(1).at(0).result, 0);
}

TEST_F(Prefetch, ADaemonThatSleepsIsNotWaitedFor) {
  begin_over_a_tier();
  daemon().pause();
  ASSERT_EQ(ask(0, 3, args(5)), 3);
  EXPECT_EQ(outcomes(3), std::vector<uint32_t>(3, SPECKV_OUTCOME_ASKED));
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
  EXPECT_EQ(client().reap(1).at(0).result, -ECANCELED);
  EXPECT_EQ(speckv_wait(client().get(), 0), -ENOTCONN);
  // A ring that is full: leading keys are asked, the others say so.
  const int asked = ask(0, 3000, args(6));
  EXPECT_GT(asked, 500);
  EXPECT_LT(asked, 1100);
  const auto all = outcomes(3000);
  EXPECT_EQ(all[unsigned(asked) - 1], uint32_t(SPECKV_OUTCOME_ASKED));
  EXPECT_EQ(all[unsigned(asked)], uint32_t(SPECKV_OUTCOME_REJECTED));
  EXPECT_EQ(outcomes_[unsigned(asked)].error, -EAGAIN);
  daemon().resume();
  EXPECT_EQ(client().reap(1).at(0).user_data, 6u);
  EXPECT_EQ(outcomes(3000)[0], uint32_t(SPECKV_OUTCOME_MISSING));
}

TEST_F(Prefetch, WithoutATierBelowNobodyIsAskedAboutAbsentKeys) {
  begin_with({1});
  daemon().pause();
  ASSERT_EQ(ask(0, 3, args(5)), 3);
  EXPECT_EQ(outcomes(3), (std::vector<uint32_t>{SPECKV_OUTCOME_MISSING, SPECKV_OUTCOME_READY,
                                                SPECKV_OUTCOME_MISSING}));
  EXPECT_EQ(client().reap(1).at(0).user_data, 5u);
  const auto keys = keys_of(0, 3000);
  EXPECT_EQ(speckv_prefetch(client().get(), number_, as_keys(keys), 3000), 3000);
  daemon().resume();
}

TEST_F(Prefetch, ADaemonThatDiesRejectsWhatWasAsked) {
  begin_over_a_tier();
  daemon().pause();
  ASSERT_EQ(ask(0, 3, args(5)), 3);
  daemon().kill();
  EXPECT_EQ(client().reap(1).at(0).user_data, 5u);
  EXPECT_EQ(outcomes(3), std::vector<uint32_t>(3, SPECKV_OUTCOME_REJECTED));
  EXPECT_EQ(outcomes_[2].error, -ECONNRESET);
  EXPECT_EQ(speckv_prefetch_end(client().get(), prefetch_), 0);
}

TEST_F(Prefetch, ASessionHasSoManyAndNoMore) {
  begin_with({0});
  std::vector<uint64_t> all;
  while (ask(0, 2, args(1)) == 2) all.push_back(prefetch_);
  EXPECT_EQ(all.size(), 256u);
  EXPECT_EQ(ask(0, 2, args(1)), -EAGAIN);
  for (uint64_t each : all) EXPECT_EQ(speckv_prefetch_end(client().get(), each), 0);
  EXPECT_EQ(client().reap(256).size(), 256u);
  int again = -EAGAIN;  // once the daemon has answered those that were cancelled
  for (int i = 0; i < 4000 && again == -EAGAIN; i++) {
    again = ask(0, 2, args(1));
    if (again == -EAGAIN) usleep(5000);
  }
  EXPECT_EQ(again, 2);
}

TEST_F(Prefetch, ALoadIsAGetThatMayWait) {
  begin_with({0, 1, 3});
  EXPECT_EQ(load(0, 2, 0), 2);
  EXPECT_EQ(buffers_[1]->wrong(1), 0u);
  for (uint64_t deadline_ns :
       {uint64_t{0}, uint64_t{1}, lib::deadline_after(20 * second_ns), SPECKV_NO_DEADLINE}) {
    EXPECT_EQ(load(0, 5, deadline_ns), 2);
    EXPECT_EQ(ops_[2].ret_result, -ENOENT) << "nowhere: a miss, long before the deadline";
    EXPECT_EQ(ops_[3].ret_result, 0);
    EXPECT_EQ(buffers_[3]->wrong(3), 0u);
  }
  EXPECT_EQ(load(0, 600, SPECKV_NO_DEADLINE), 2);
  EXPECT_EQ(speckv_load(client().get(), number_, nullptr, 1, 0), -EINVAL);
  EXPECT_EQ(speckv_load(client().get(), 63, ops_.data(), 1, SPECKV_NO_DEADLINE), -EBADF);
  EXPECT_EQ(speckv_wait(client().get(), 0), -ENOTCONN);
}

TEST_F(Prefetch, ALoadEndsByItsDeadlineWhateverTheDaemonDoes) {
  begin_with({0});
  daemon().pause();
  EXPECT_EQ(load(0, 3, 0), 1) << "reading asks nobody";
  EXPECT_EQ(load(0, 3, lib::deadline_after(30'000'000)), 1);
  EXPECT_EQ(ops_[1].ret_result, -ETIMEDOUT);
  EXPECT_EQ(ops_[2].ret_result, -ENOENT);
  std::thread waits([&] {
    EXPECT_EQ(load(0, 3, SPECKV_NO_DEADLINE), 1);
    EXPECT_EQ(ops_[1].ret_result, -ENOENT) << "a daemon that went away is a miss";
  });
  usleep(50'000);
  daemon().kill();
  waits.join();
}

TEST_F(Prefetch, HintsAreTakenAndOfNobodysKeysNothingIsKept) {
  begin_with({0});
  const auto keys = keys_of(0, 1000);
  struct speckv_hint hint {};
  hint.size = sizeof hint;
  hint.kind = SPECKV_KIND_CONVERSATION;
  hint.returns_ns = lib::now_ns() + second_ns;
  int given = 0;
  for (int i = 0; i < 20; i++) {
    const int more = speckv_hint(client().get(), number_, as_keys(keys), 1000, &hint);
    EXPECT_TRUE(more > 0 || more == -EAGAIN) << more;
    given += more > 0 ? more : 0;
  }
  EXPECT_GT(given, 1000);
  hint.kind = 5;
  EXPECT_EQ(speckv_hint(client().get(), number_, as_keys(keys), 1, &hint), -EINVAL);
  hint.kind = 0, hint.reserved[0] = 1;
  EXPECT_EQ(speckv_hint(client().get(), number_, as_keys(keys), 1, &hint), -EINVAL);
  EXPECT_EQ(speckv_hint(client().get(), number_, as_keys(keys), 1, nullptr), -EINVAL);
  EXPECT_EQ(client().get(number_, 0, *kv_), 0);
}

TEST_F(Prefetch, WithoutATierBelowNothingIsDemoted) {
  begin_with({0});
  const auto keys = keys_of(0, 1);
  ASSERT_EQ(speckv_demote(client().get(), number_, as_keys(keys), 1, 9), 1);
  const auto done = client().reap(1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].result, -EOPNOTSUPP);
  EXPECT_EQ(client().get(number_, 0, *kv_), 0) << "it is where it was";
}

// Neighbours of the same namespace and of another go on as ever.
TEST_F(Prefetch, AClientThatAsksAllDayStarvesNobody) {
  begin_with({0});
  std::atomic<bool> stop{false};
  std::thread hostile([&] {
    Client greedy(daemon().socket_path());
    ASSERT_EQ(greedy.opened(), 0);
    greedy.add_layout(layout_);
    const auto keys = keys_of(1'000'000, 4096);
    const speckv_prefetch_args wanted = args(1);
    speckv_completion done[256];
    while (!stop.load()) {
      uint64_t prefetch = 0;
      if (speckv_prefetch_begin(greedy.get(), number_, as_keys(keys), 4096, &wanted, &prefetch) > 0)
        speckv_prefetch_end(greedy.get(), prefetch);
      speckv_prefetch(greedy.get(), number_, as_keys(keys), 4096);
      speckv_reap(greedy.get(), done, 256);
    }
  });
  for (uint64_t i = 1; i < 200; i++) {
    EXPECT_EQ(client().put(number_, i, *kv_), 0);
    EXPECT_EQ(load(i, 1, lib::deadline_after(20 * second_ns)), 1);
  }
  stop.store(true);
  hostile.join();
}

}  // namespace
}  // namespace speckv::test
