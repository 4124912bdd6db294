// SPDX-License-Identifier: Apache-2.0
// peer_test.cpp - who is at the other end of a socket; a user without a number here is nobody's
// own.
#include "session/peer.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "printable.hpp"

namespace speckv {
namespace {

TEST(Peer, OfASocketPair) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  const auto peer = peer_of(ends[0], {});
  ASSERT_TRUE(peer.ok());
  EXPECT_EQ(peer.value().uid, geteuid());
  EXPECT_EQ(peer.value().pid, getpid());
  EXPECT_NE(std::count(peer.value().groups.begin(), peer.value().groups.end(), getegid()), 0);
  EXPECT_FALSE(peer.value().foreign);
  ForeignIds foreign{true, geteuid(), getegid()};  // as if ours were the overflow ids
  const auto stranger = peer_of(ends[0], foreign);
  EXPECT_TRUE(stranger.value().foreign);
  EXPECT_EQ(std::count(stranger.value().groups.begin(), stranger.value().groups.end(), getegid()),
            0);
  close(ends[0]);
  close(ends[1]);
}

TEST(Peer, ForeignIdsAreThoseOfAUserNamespace) {
  const std::string proc = ::testing::TempDir() + "speckv_proc_" + std::to_string(getpid());
  std::filesystem::create_directories(proc + "/self");
  std::filesystem::create_directories(proc + "/sys/kernel");
  const auto maps = [&](const std::string& text) {
    for (const char* name : {"/self/uid_map", "/self/gid_map"}) std::ofstream(proc + name) << text;
    return read_foreign_ids(proc);
  };
  EXPECT_FALSE(maps("         0          0 4294967295\n").any);
  EXPECT_TRUE(maps("0 1000 1\n").any);
  EXPECT_TRUE(maps("").any) << "one that maps nobody";
  EXPECT_TRUE(maps("0 100000 65536\n").any)
      << "65534 has a number there, and stands for others, too";
  std::ofstream(proc + "/sys/kernel/overflowuid") << "1234\n";
  EXPECT_EQ(maps("0 1000 1\n").uid, 1234u);
  std::filesystem::remove_all(proc);
}

TEST(Printable, IsAsciiThatATerminalShows) {
  EXPECT_TRUE(is_printable("a name-with_all.of it~"));
  for (const char* bad : {"a\nb", "\x1b[0m", "\x7f", "caf\xc3\xa9", "\t"}) {
    EXPECT_FALSE(is_printable(bad));
    EXPECT_TRUE(is_printable(printable(bad)));
  }
  EXPECT_EQ(printable(std::string(100, 'x')).size(), 67u);
}

}  // namespace
}  // namespace speckv
