// SPDX-License-Identifier: Apache-2.0
// engine_test.cpp - the cpu engine's workers: every job comes back once, a job that has not begun
// can be taken back, and the bytes are those of encoding on one's own thread.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <optional>
#include <set>
#include <stdexcept>

#include "server_fixture.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

struct Segment : EncodeJob {
  std::vector<std::byte> stored;
};

class Workers : public ::testing::TestWithParam<uint32_t> {
 protected:
  Workers() : engine_(make_cpu_engine(GetParam())) {
    client_.emplace(spaces_.client(0, 1));
    layout_ = client_->session->layout(client_->layout).layout;
    raw_.resize(layout_->segment_raw_bytes);
    for (size_t i = 0; i < raw_.size(); i++) raw_[i] = std::byte(i * 7);
  }
  void ask(Segment* job) {
    job->layout = layout_;
    job->preset = &layout_->preset;
    job->raw = raw_;
    job->stored.assign(layout_->stored_raw_bytes, std::byte{0});
    job->out = job->stored;
  }
  std::vector<EncodeJob*> reap(bool wait) {
    std::vector<EncodeJob*> back;
    engine_->reap(&back);
    if (back.empty() && wait && engine_->wake_fd() >= 0) {
      pollfd woken{engine_->wake_fd(), POLLIN, 0};
      EXPECT_EQ(poll(&woken, 1, 60'000), 1) << "a completion wakes";
      engine_->reap(&back);
    }
    return back;
  }

  SimSpaces spaces_{1};
  std::optional<SimClient> client_;
  const Layout* layout_ = nullptr;
  std::vector<std::byte> raw_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(Workers, EveryJobComesBackOnceWithItsBytes) {
  std::deque<Segment> jobs(500);
  Segment alone;
  ask(&alone);
  encode_now(alone);
  std::set<EncodeJob*> back;
  size_t next = 0;
  while (back.size() < jobs.size()) {
    for (; next < jobs.size(); next++) {
      ask(&jobs[next]);
      if (!engine_->start(&jobs[next])) break;
    }
    for (EncodeJob* job : reap(true)) EXPECT_TRUE(back.insert(job).second);
  }
  for (Segment& job : jobs) {
    ASSERT_EQ(job.stored, alone.stored);
    ASSERT_EQ(job.checksum, alone.checksum);
  }
  engine_->stop();
}

TEST_P(Workers, WhatIsTakenBackIsNotRunAndMayBeStartedAgain) {
  std::deque<Segment> jobs(engine_->jobs_max());
  uint64_t cancelled = 0, done = 0, started = 0;
  for (int round = 0; round < 300; round++) {
    for (Segment& job : jobs) {
      ask(&job);
      started += engine_->start(&job);
    }
    for (Segment& job : jobs) cancelled += engine_->cancel(&job);
    while (done + cancelled < started) done += reap(true).size();
    if (round % 30 == 0) usleep(2000);  // a worker comes to what was left behind in the queue
  }
  usleep(20'000);
  EXPECT_EQ(done + cancelled, started);
  EXPECT_TRUE(reap(false).empty());
  EXPECT_EQ(engine_->facts().busy, 0u);
  engine_->stop();  // before the jobs go
}

TEST_P(Workers, AStopLeavesNobodyBehind) {
  std::deque<Segment> jobs(engine_->jobs_max());
  for (Segment& job : jobs) {
    ask(&job);
    EXPECT_TRUE(engine_->start(&job));
  }
  engine_->stop();
  engine_->stop();
}

// Its job stays half done for ever, and nobody knows which of its bytes are written.
TEST(Worker, ThatDiesEndsTheDaemonWithASentence) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto die = [] {
    const auto engine =
        make_cpu_engine(1, -1, [](EncodeJob&) { throw std::runtime_error("out of luck"); });
    EncodeJob job;
    if (!engine->start(&job)) return;
    pollfd woken{engine->wake_fd(), POLLIN, 0};
    poll(&woken, 1, 60'000);
  };
  EXPECT_DEATH(die(), "an encode worker died: start speckvd again, it keeps what is stored");
}

INSTANTIATE_TEST_SUITE_P(Count, Workers, ::testing::Values(0, 1, 2, 5));

}  // namespace
