// SPDX-License-Identifier: Apache-2.0
// stuck_test.cpp - a data thread that does not turn is noticed: /healthz is 503, the watchdog says
// nothing, and both are well again when it turns.
//
// How: a real data thread whose engine waits for the test; the view is of that thread alone.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>

#include "loop/clock.hpp"
#include "loop/control_watchdog.hpp"
#include "loop/live_view.hpp"
#include "server_fixture.hpp"
#include "watch/health.hpp"
#include "watch/watch.hpp"

namespace {

using namespace speckv;
using namespace speckv::test;

constexpr uint64_t stuck_ms = 300;  // instead of 5 s: the test waits for it

class WaitingEngine : public Engine {
 public:
  bool start(EncodeJob* job) override {
    open.wait(false);
    return real_->start(job);
  }
  void reap(std::vector<EncodeJob*>* ret_completed) override { real_->reap(ret_completed); }
  bool cancel(EncodeJob* job) override { return real_->cancel(job); }
  int wake_fd() const override { return real_->wake_fd(); }
  uint32_t jobs_max() const override { return real_->jobs_max(); }
  void stop() override {}
  const EngineFacts& facts() const override { return real_->facts(); }

  std::atomic<bool> open{false};

 private:
  std::unique_ptr<Engine> real_ = make_cpu_engine();
};

// A daemon of data threads alone.
class Threads : public watch::DaemonView {
 public:
  watch::DaemonFacts daemon() const override {
    watch::DaemonFacts facts;
    facts.shards = 1;
    return facts;
  }
  std::vector<watch::SpaceFacts> spaces() const override { return {}; }
  std::vector<watch::SessionFacts> sessions() const override { return {}; }
  std::span<const std::byte> index_file(size_t) const override { return {}; }
  std::span<const std::byte> pool_file(size_t) const override { return {}; }
};

class OneThread : public Threads {
 public:
  explicit OneThread(const DataThread& thread) : thread_(thread) {}
  std::vector<watch::ThreadFacts> threads() const override {
    return {facts_of(thread_, 0, monotonic_ns())};
  }

 private:
  const DataThread& thread_;
};

class SaidThread : public Threads {
 public:
  std::vector<watch::ThreadFacts> threads() const override { return {facts}; }
  watch::ThreadFacts facts;
};

bool soon(const std::function<bool()>& happened) {
  for (int i = 0; i < 20'000 && !happened(); i++) usleep(1000);
  return happened();
}

TEST(Stuck, ADataThreadThatDoesNotTurn) {
  SimSpaces spaces(1);
  auto engine = std::make_unique<WaitingEngine>();
  WaitingEngine& gate = *engine;
  Engine* used = engine.get();
  DataThread thread(0, spaces.make(used), std::move(engine));
  ASSERT_TRUE(thread.start().ok());
  const OneThread view(thread);
  EXPECT_EQ(watch::ailment(view), "");
  SimClient client = spaces.client(0, 1);
  ASSERT_TRUE(thread.add_session(client.session));
  client.put();
  EXPECT_TRUE(soon([&] { return !watch::ailment(view, stuck_ms).empty(); }))
      << "nobody notices that it is stuck";
  EXPECT_EQ(client.served(), 1u) << "and it is stuck in the put";
  gate.open = true;
  gate.open.notify_all();
  EXPECT_TRUE(soon([&] { return watch::ailment(view, stuck_ms).empty(); }));
  client.session->end();
  thread.session_ended();
  thread.stop();
}

// What the supervisor hears, through a socket of the test's own.
TEST(Stuck, TheWatchdogIsSilentThen) {
  SaidThread view;
  const int heard = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = ::testing::TempDir() + "speckv_watchdog_" + std::to_string(getpid());
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  unlink(path.c_str());
  ASSERT_EQ(bind(heard, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  setenv("WATCHDOG_USEC", "60000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  const auto says = [heard] {
    char text[64] = "";
    return recv(heard, text, sizeof text - 1, 0) > 0 ? std::string(text) : std::string();
  };
  boost::asio::io_context context;
  Watchdog watchdog(context, view);
  watchdog.start();
  EXPECT_TRUE(watchdog.look());
  EXPECT_EQ(says(), "WATCHDOG=1");
  view.facts.stalled_ms = watch::stalled_after_ms;
  EXPECT_FALSE(watchdog.look());
  EXPECT_EQ(says(), "");
  view.facts.stalled_ms = 0;
  EXPECT_TRUE(watchdog.look());
  EXPECT_EQ(says(), "WATCHDOG=1");
  for (const char* each : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(each);
  close(heard);
  unlink(path.c_str());
}

// Control tells of lost memory, and goes on: it has others to serve.
TEST(Stuck, AFullMailboxIsSaidAndNotWaitedFor) {
  DataThread thread(0, {}, make_cpu_engine());  // not started
  int told = 0;
  while (told < 100'000 && thread.lose(0, {0, 1})) told++;
  EXPECT_GT(told, 0);
  EXPECT_LT(told, 100'000);
  EXPECT_FALSE(thread.add_session(nullptr));
}

}  // namespace
