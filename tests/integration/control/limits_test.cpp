// SPDX-License-Identifier: Apache-2.0
// limits_test.cpp - nobody keeps others from the socket: who says nothing is closed, who has too
// many connections loses his own, and no word of a client gets into the log as a line of its own.
//
// How: a real daemon; clients of several uids where the test may become them.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "clients.hpp"
#include "speckv/speckv.h"

namespace speckv::test {
namespace {

constexpr uid_t attacker = 20001, victim = 20003;

class Limits : public ::testing::Test {
 protected:
  void begin(DaemonOptions options) {
    options.daemon_lines += "socket_mode = \"0777\"\n";
    options.medium = "memfd";
    options.pool_bytes = "8MiB";
    options.data_threads = 1;
    daemon_ = std::make_unique<DaemonProcess>(options);
    chmod(daemon_->folder().c_str(), 0755);
    ASSERT_TRUE(daemon_->start()) << daemon_->log();
  }
  const std::string& path() const { return daemon_->socket_path(); }
  static std::vector<std::unique_ptr<Wire>> idle(const std::string& path, int count) {
    std::vector<std::unique_ptr<Wire>> all;
    for (int i = 0; i < count; i++) all.push_back(std::make_unique<Wire>(path));
    return all;
  }
  std::unique_ptr<DaemonProcess> daemon_;
};

TEST_F(Limits, SilentConnectionIsToldAndClosed) {
  begin({});
  Wire silent(path());
  EXPECT_EQ(wire::Type(silent.receive()), wire::Type::error);
  EXPECT_EQ(silent.error(), ETIMEDOUT);
  EXPECT_NE(silent.text().find("hello"), std::string::npos) << silent.text();
  EXPECT_EQ(silent.receive(), 0) << "and hung up";
}

// Stands still until this object ends.
class FrozenThread {
 public:
  FrozenThread(pid_t process, const std::string& wanted) {
    const std::string folder = "/proc/" + std::to_string(process) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(folder)) {
      std::string name;
      std::getline(std::ifstream(task.path() / "comm"), name);
      if (name == wanted) thread_ = std::atoi(task.path().filename().c_str());
    }
    frozen_ = thread_ > 0 && ptrace(PTRACE_SEIZE, thread_, 0, 0) == 0 &&
              ptrace(PTRACE_INTERRUPT, thread_, 0, 0) == 0 &&
              waitpid(thread_, nullptr, __WALL) == thread_;
  }
  ~FrozenThread() {
    if (frozen_) ptrace(PTRACE_DETACH, thread_, 0, 0);
  }
  bool frozen() const { return frozen_; }

 private:
  pid_t thread_ = -1;
  bool frozen_ = false;
};

// Its hello is there; that it waits for room is not its own silence.
TEST_F(Limits, WhoWaitsForRoomIsNotTakenForSilent) {
  DaemonOptions options;
  options.session_lines = "hello_ms_max = 50\n";
  options.namespace_lines = "arenas_bytes_max = \"1MiB\"\n";
  begin(options);
  auto first = std::make_unique<Wire>(path());
  ASSERT_EQ(first->hello("default", 1 << 20), 0) << first->text();
  const FrozenThread keeps_it(daemon_->pid(), "speckv-data-0");
  if (!keeps_it.frozen()) GTEST_SKIP() << "ptrace is forbidden here";
  first.reset();
  Wire second(path());
  EXPECT_EQ(second.hello("default", 1 << 20), ENOBUFS) << second.text();
}

TEST_F(Limits, IdleSocketsOfOneUserLockNobodyOut) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes other users";
  DaemonOptions options;
  options.namespace_lines = "anyone = true\n";
  begin(options);
  // All at once while the attacker holds 200 and makes new ones for those that are closed.
  const auto flood = [&] {
    const auto held = idle(path(), 200);
    const int got = as_uid(victim, {}, [&] { return Wire(path()).hello("default") == 0; });
    return got == 0 && Wire(path()).connected();
  };
  EXPECT_EQ(as_uid(0, {}, flood), 0) << "root's own idle sockets";
  const auto attack = [&] {
    const auto held = idle(path(), 200);
    return Wire(path()).hello("default") == 0;  // not even himself
  };
  EXPECT_EQ(as_uid(attacker, {}, attack), 0);
  const nlohmann::json status = status_of(path());
  ASSERT_TRUE(status.is_object()) << "root is served";
  EXPECT_GE(status["daemon"]["connections_ended"].get<uint64_t>(), 100u);
  EXPECT_LE(status["daemon"]["waiting"].get<uint64_t>(), 64u);
}

TEST_F(Limits, IdleSocketsOfManyUsersLockNobodyOut) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes other users";
  DaemonOptions options;
  options.namespace_lines = "anyone = true\n";
  begin(options);
  std::vector<std::unique_ptr<Wire>> held;  // made by other users, kept open by this process
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::vector<pid_t> children;
  for (uid_t uid = attacker + 100; uid < attacker + 106; uid++) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(uid) != 0 || setuid(uid) != 0) _exit(1);
      const auto mine = idle(path(), 30);
      [[maybe_unused]] const ssize_t told = write(ends[1], "x", 1);
      pause();
    }
    children.push_back(child);
  }
  char byte;
  for (size_t i = 0; i < children.size(); i++) ASSERT_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_EQ(as_uid(victim, {}, [&] { return Wire(path()).hello("default") == 0; }), 0);
  EXPECT_TRUE(status_of(path()).is_object()) << "root has places of his own";
  for (pid_t child : children) kill(child, SIGKILL);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(Limits, NamesAreNoLinesOfTheLog) {
  begin({});
  EXPECT_EQ(Wire(path()).hello("x\nspeckvd: all is lost"), EINVAL);
  EXPECT_EQ(Wire(path()).hello("x\x1b[31m"), EINVAL);
  EXPECT_EQ(Wire(path()).hello("no-such-one"), EACCES);
  EXPECT_EQ(daemon_->log().find("\nspeckvd: all is lost"), std::string::npos);
  EXPECT_EQ(daemon_->log().find('\x1b'), std::string::npos);
}

TEST_F(Limits, AClientThatOpensAndClosesFillsNoLog) {
  begin({});
  for (int i = 0; i < 300; i++) ASSERT_EQ(Wire(path()).hello("default"), 0) << i;
  const nlohmann::json status = status_of(path());
  const uint64_t left_out = status["namespaces"][0]["log_lines_left_out"].get<uint64_t>();
  EXPECT_GT(left_out, 300u) << "of 600: 30 at once, then one a second";
  const std::string log = daemon_->log();
  EXPECT_LT(std::count(log.begin(), log.end(), '\n'), 300);
}

TEST_F(Limits, AreWrittenInTheConfiguration) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes other users";
  DaemonOptions options;
  options.session_lines =
      "hello_ms_max = 100\nconnections_max = 16\nconnections_of_uid_max = 3\nlog_lines_max = 5\n";
  options.namespace_lines = "anyone = true\n";
  begin(options);
  const auto flood = [&] {
    const auto held = idle(path(), 9);
    int ended = 0;
    for (const auto& each : held) ended += each->receive() != 0 && each->error() == EBUSY;
    return ended == 6;  // the other three are told after 100 ms: ETIMEDOUT
  };
  EXPECT_EQ(as_uid(attacker, {}, flood), 0);
  for (int i = 0; i < 50; i++) ASSERT_EQ(Wire(path()).hello("default"), 0) << i;
  EXPECT_TRUE(status_becomes(path(), "sessions", 0)) << "of the last one, too, a line or none";
  const nlohmann::json status = status_of(path());
  EXPECT_EQ(status["daemon"]["connections_max"], 16);
  EXPECT_EQ(status["namespaces"][0]["log_lines_max"], 5);
  EXPECT_GT(status["namespaces"][0]["log_lines_left_out"].get<uint64_t>(), 80u);
}

// Root asks for a list that is larger than what a socket takes, and does not read it: others are
// answered meanwhile, and he has all of it when he reads at last.
TEST_F(Limits, ALongAnswerThatNobodyReadsStopsNobody) {
  DaemonOptions options;
  options.index_entries = "4096";
  begin(options);
  speckv_open_args args{};
  args.size = sizeof args;
  args.socket_path = path().c_str();
  args.daemon_uid = -1;
  speckv_session* session = nullptr;
  ASSERT_EQ(speckv_open(&args, &session), 0);
  speckv_layout layout = layout_number(1);
  layout.layers = 1;
  layout.kv_heads = 1;
  layout.head_dim = 16;
  uint32_t number = 0;
  ASSERT_EQ(speckv_layout_register(session, &layout, &number), 0);
  std::vector<std::byte> plane(2 * 16 * 16);
  const std::vector<speckv_view> views(2, {plane.data(), 32, 32, 2});
  for (uint64_t n = 0; n < 3000; n++) {
    speckv_put_op op{};
    std::memcpy(op.key, &n, sizeof n);
    op.buf = {0, 1, views.data()};
    op.meta.position = SPECKV_POSITION_UNKNOWN;
    ASSERT_EQ(speckv_put(session, number, &op, 1), 1);
    speckv_completion done{};
    ASSERT_EQ(speckv_wait(session, 20'000'000'000), 0);
    ASSERT_EQ(speckv_reap(session, &done, 1), 1);
    ASSERT_EQ(done.result, 0);
  }
  Wire asker(path());
  asker.ask("ls default 100000");
  for (int i = 0; i < 3; i++) EXPECT_TRUE(status_of(path()).is_object());
  EXPECT_EQ(Wire(path()).hello("default"), 0);
  const nlohmann::json list = nlohmann::json::parse(asker.answer(), nullptr, false);
  ASSERT_TRUE(list.is_object()) << "it is cut off";
  EXPECT_EQ(list["total"], 3000);
  EXPECT_EQ(list["blocks"].size(), 3000u);
  asker.ask("ls default 1");
  EXPECT_NE(asker.answer().find("3000"), std::string::npos) << "and is answered again";
  speckv_close(session);
}

TEST_F(Limits, SupplementaryGroupsCount) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes other users";
  DaemonOptions options;
  options.namespace_lines = "gids = [4242]\n";
  begin(options);
  const auto opens = [&] { return Wire(path()).hello("default") == 0; };
  EXPECT_EQ(as_uid(victim, {7, 4242}, opens), 0) << "in no user database";
  EXPECT_EQ(as_uid(victim, {7}, opens), 1);
}

}  // namespace
}  // namespace speckv::test
