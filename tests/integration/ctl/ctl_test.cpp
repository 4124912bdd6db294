// SPDX-License-Identifier: Apache-2.0
// ctl_test.cpp - speckvctl against a real daemon: every command answers, with text and with JSON,
// and its exit status tells a script what happened.
//
// How: the built program in a shell, its output parsed. The bench's blocks go through the real
// library; its own verdict (faults) is the oracle for them.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

#include "daemon_process.hpp"

namespace speckv::test {
namespace {

using nlohmann::json;

struct Ran {
  int exit_status = -1;
  std::string out;  // stdout and stderr
  json parsed() const { return json::parse(out, nullptr, false); }
};

class Ctl : public ::testing::Test {
 protected:
  static DaemonProcess& daemon() {
    static DaemonProcess process([] {
      DaemonOptions options;
      options.preset = "q8";
      options.more = "[[namespace]]\nname = \"second\"\nbytes = \"16MiB\"\n";
      return options;
    }());
    return process;
  }
  void SetUp() override {
    if (daemon().pid() < 0) {
      ASSERT_TRUE(daemon().start()) << daemon().log();
    }
  }
  static Ran run(const std::string& arguments, const std::string& under = "") {
    const std::string command = under + SPECKVCTL_PATH + " --socket " + daemon().socket_path() +
                                " " + arguments +
                                (arguments.find("2>") == std::string::npos ? " 2>&1" : "");
    Ran ran;
    FILE* pipe = popen(command.c_str(), "r");
    if (!pipe) return ran;
    char part[4096];
    for (size_t got; (got = fread(part, 1, sizeof part, pipe)) > 0;) ran.out.append(part, got);
    const int status = pclose(pipe);
    ran.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
  }
};

TEST_F(Ctl, status) {
  const Ran text = run("status");
  EXPECT_EQ(text.exit_status, 0) << text.out;
  EXPECT_NE(text.out.find("isolation"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("second"), std::string::npos) << text.out;
  const json status = run("--json status").parsed();
  EXPECT_EQ(status["daemon"]["pid"], daemon().pid());
  EXPECT_EQ(status["namespaces"].size(), 2u);
  EXPECT_EQ(status["threads"].size(), 2u);
}

TEST_F(Ctl, bench_stores_reads_verifies_and_cleans_up) {
  const Ran ran = run("--json bench");
  ASSERT_EQ(ran.exit_status, 0) << ran.out;
  const json bench = ran.parsed();
  EXPECT_TRUE(bench["faults"].empty()) << ran.out;
  std::vector<std::string> names;
  for (const json& row : bench["results"]) {
    names.push_back(row["name"]);
    EXPECT_GT(row["value"].get<double>(), 0) << row.dump();
  }
  for (const char* name : {"put/1MiB/exact", "get/1MiB/exact", "exists/64/exact", "get/1MiB/q8"})
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  EXPECT_EQ(run("--json ls").parsed()["total"], 0) << "the bench removes what it put";
  EXPECT_EQ(run("bench --preset exact").exit_status, 0);
  const json space = run("--json status").parsed()["namespaces"][0];
  EXPECT_GT(space["written_blocks"].get<int>(), 0);
  EXPECT_GT(space["removed_blocks"].get<int>(), 0);
}

TEST_F(Ctl, ls_and_info) {
  EXPECT_EQ(run("ls").exit_status, 0);
  EXPECT_NE(run("ls second --limit 5").out.find("0 of 0 blocks in second"), std::string::npos);
  const Ran nowhere = run("ls nowhere");
  EXPECT_EQ(nowhere.exit_status, 1);
  EXPECT_NE(nowhere.out.find("there are: default second"), std::string::npos) << nowhere.out;
  const Ran none = run("info abcd");
  EXPECT_EQ(none.exit_status, 1);
  EXPECT_NE(none.out.find("no block has a key that begins with abcd"), std::string::npos)
      << none.out;
  const json error = run("--json info abcd 2>/dev/null").parsed();
  EXPECT_TRUE(error.is_object() && error.contains("error")) << error.dump();
}

TEST_F(Ctl, top_draws_as_often_as_asked) {
  const Ran text = run("top -n 2 -d 0.1");
  EXPECT_EQ(text.exit_status, 0) << text.out;
  size_t count = 0;
  for (size_t at = 0; (at = text.out.find("NAMESPACE", at)) != std::string::npos; at++) count++;
  EXPECT_EQ(count, 2u) << text.out;
  EXPECT_EQ(text.out.find('\x1b'), std::string::npos) << "no escapes into a pipe";
}

TEST_F(Ctl, size_says_what_other_pools_would_have_had) {
  ASSERT_EQ(run("bench --preset q8").exit_status, 0);  // blocks that are put, read and removed
  const Ran ran = run("--json size");
  ASSERT_EQ(ran.exit_status, 0) << ran.out;
  const json size = ran.parsed();
  ASSERT_EQ(size["pools"].size(), 7u) << ran.out;
  EXPECT_GT(size["pools"][2]["uses"].get<int>(), 0) << ran.out;
  EXPECT_EQ(size["pools"][2]["bytes"], size["pool_bytes"]);
  EXPECT_EQ(size["presets"].size(), 6u) << "all but its own";
  const Ran text = run("size");
  EXPECT_EQ(text.exit_status, 0) << text.out;
  for (const char* word : {"half", "as it is", "four times", "preset compact"})
    EXPECT_NE(text.out.find(word), std::string::npos) << word << " in " << text.out;
  EXPECT_NE(run("size second").out.find("nobody has asked for a block yet"), std::string::npos);
  EXPECT_NE(run("size nowhere").out.find("there are: default second"), std::string::npos);
}

TEST_F(Ctl, doctor) {
  const Ran text = run("doctor");
  EXPECT_EQ(text.exit_status, 0) << text.out;
  EXPECT_NE(text.out.find("session in default"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("session in second"), std::string::npos) << text.out;
  const json verdict = run("--json doctor").parsed();
  EXPECT_EQ(verdict["faults"], 0);
  EXPECT_GT(verdict["findings"].size(), 8u);
}

TEST_F(Ctl, an_option_of_another_command_is_refused_and_said_whose_it_is) {
  const struct {
    const char* line;
    const char* says;
  } cases[] = {
      {"status --limit 5", "status takes no --limit, which is for ls"},
      {"ls -n 3", "ls takes no -n, which is for top"},
      {"doctor --preset q8", "doctor takes no --preset, which is for bench"},
      {"info --namespace default ab", "info takes no --namespace, which is for bench"},
      {"region list --daemon-uid 5", "region takes no --socket"},
      {"status --limit", "--limit needs a value"},
      {"ls --limit x", "expected a number from 0 to 100000"},
      {"status --daemon-uid -3", "no value for --daemon-uid: expected a uid"},
      {"status --jsn", "there is no option --jsn\n"},
      {"status --json=1", "--json=1: this option takes no value"},
  };
  for (const auto& each : cases) {
    const Ran ran = run(each.line);
    EXPECT_EQ(ran.exit_status, 2) << each.line << ": " << ran.out;
    EXPECT_NE(ran.out.find(each.says), std::string::npos) << each.line << ": " << ran.out;
  }
  EXPECT_EQ(run("ls second --limit 5 --json").exit_status, 0) << "options may follow the command";
  EXPECT_NE(run("--help").out.find("answers root and its own user only"), std::string::npos);
}

// A root operator whose daemon runs as another uid names that uid; otherwise the tool trusts root,
// user speckv and itself.
TEST_F(Ctl, the_daemon_s_uid_can_be_named) {
  const std::string own = std::to_string(geteuid());
  EXPECT_EQ(run("status --daemon-uid " + own).exit_status, 0);
  const Ran other = run("status --daemon-uid 54321");
  EXPECT_EQ(other.exit_status, 1);
  EXPECT_NE(other.out.find("belongs to uid " + own + ", not to uid 54321"), std::string::npos)
      << other.out;
  if (geteuid() != 0) GTEST_SKIP() << "a daemon of another uid needs root to start it";
  DaemonOptions options;
  options.uid = 2000;
  DaemonProcess stranger(options);
  ASSERT_TRUE(stranger.start()) << stranger.log();
  const std::string socket = "--socket " + stranger.socket_path();
  const Ran refused = run(socket + " status");
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_NE(refused.out.find("--daemon-uid"), std::string::npos) << refused.out;
  EXPECT_EQ(run(socket + " --daemon-uid 2000 status").exit_status, 0);
  const json verdict = run(socket + " --daemon-uid 2000 --json doctor").parsed();
  EXPECT_EQ(verdict["faults"], 0) << verdict.dump();
}

// A user namespace that maps nobody: whoever looks there and whoever serves are both 65534.
TEST_F(Ctl, in_a_user_namespace_the_daemon_is_nobodys_own) {
  const auto inside = [](const std::string& arguments) { return run(arguments, "unshare -U "); };
  const Ran may = inside("--help");
  if (may.exit_status != 0) GTEST_SKIP() << "no user namespaces here: " << may.out;
  for (const char* command : {"status", "ls", "doctor"}) {
    const Ran refused = inside(command);
    EXPECT_EQ(refused.exit_status, 1) << command << refused.out;
    EXPECT_NE(refused.out.find("belongs to uid 65534, neither"), std::string::npos) << refused.out;
  }
  EXPECT_EQ(inside("--daemon-uid 65534 status").exit_status, 0) << "who names it means it";
  EXPECT_EQ(inside("--daemon-uid 0 status").exit_status, 1);
}

TEST_F(Ctl, wrong_questions_are_status_2_and_say_what_was_wrong) {
  for (const char* wrong : {"", "frobnicate", "status more", "--limit", "ls --limit x", "top -n 0",
                            "--bogus 1 status"}) {
    const Ran ran = run(wrong);
    EXPECT_EQ(ran.exit_status, 2) << wrong << ": " << ran.out;
    EXPECT_NE(ran.out.find("--help"), std::string::npos) << ran.out;
  }
  EXPECT_EQ(run("--help").exit_status, 0);
  EXPECT_EQ(run("bench --preset q9").exit_status, 1);
  EXPECT_EQ(run("bench --namespace nowhere").exit_status, 1);
}

TEST_F(Ctl, zz_without_a_daemon_every_command_fails_with_a_way_out) {  // last: ends the daemon of
                                                                       // the others
  daemon().stop();
  for (const char* command : {"status", "ls", "info ab", "top -n 1", "bench"}) {
    const Ran ran = run(command);
    EXPECT_EQ(ran.exit_status, 1) << command << ": " << ran.out;
    EXPECT_NE(ran.out.find(daemon().socket_path()), std::string::npos) << ran.out;
  }
  const Ran doctor = run("doctor");
  EXPECT_EQ(doctor.exit_status, 1);
  EXPECT_NE(doctor.out.find("FAULT"), std::string::npos) << doctor.out;
}

}  // namespace
}  // namespace speckv::test
