// SPDX-License-Identifier: Apache-2.0
// Proves which daemon a session believes: root, the user speckv, its own uid, or the one that was
// named; and that in a user namespace the number which stands for all unmapped users is nobody's
// own.
#include "src/peer.hpp"

#include <gtest/gtest.h>

namespace speckv::lib {
namespace {

constexpr uint32_t overflow = 65534, speckv = 990, own = 1000;

TEST(Peer, ByDefaultRootTheUserSpeckvAndOneself) {
  const PeerCheck check{-1, speckv, no_uid};
  for (uint32_t uid : {0u, speckv, own}) EXPECT_TRUE(is_trusted(check, uid, own)) << uid;
  for (uint32_t uid : {1u, 1001u, overflow, no_uid})
    EXPECT_FALSE(is_trusted(check, uid, own)) << uid;
  EXPECT_FALSE(is_trusted({-1, no_uid, no_uid}, no_uid, own)) << "there is no user speckv";
  EXPECT_TRUE(is_trusted(check, overflow, overflow))
      << "every uid is mapped: it is one like others";
}

TEST(Peer, AnUnmappedUidIsNobodysOwn) {
  const PeerCheck check{-1, speckv, overflow};
  EXPECT_FALSE(is_trusted(check, overflow, overflow));
  EXPECT_FALSE(is_trusted({-1, overflow, overflow}, overflow, own));
  EXPECT_TRUE(is_trusted(check, own, own));
  EXPECT_TRUE(is_trusted(check, 0, own));
}

TEST(Peer, TheOneThatWasNamedAndNoOther) {
  const PeerCheck check = whom_to_trust(int32_t(own));
  EXPECT_TRUE(is_trusted(check, own, 0));
  for (uint32_t uid : {0u, speckv, 1001u}) EXPECT_FALSE(is_trusted(check, uid, uid)) << uid;
  EXPECT_TRUE(is_trusted(whom_to_trust(int32_t(overflow)), overflow, 0)) << "who names it means it";
}

}  // namespace
}  // namespace speckv::lib
