// SPDX-License-Identifier: Apache-2.0
// Proves that blocks outlive the daemon's memory of their layout: when no session names it any more
// it is forgotten, and when it is registered again, by another session, what was put is there.
//
// How: the daemon has room for one layout, so that a second one can only come when the first is
// forgotten.

#include "client.hpp"

namespace speckv::test {
namespace {

class ForgottenLayout : public ::testing::TestWithParam<uint32_t> {};

TEST_P(ForgottenLayout, FindsItsBlocksWhenItIsRegisteredAgain) {
  DaemonOptions options;
  options.session_lines = "layouts_max = 1\n";
  DaemonProcess daemon(options);
  ASSERT_TRUE(daemon.start()) << daemon.log();
  const speckv_layout layout = small_layout(3, GetParam());
  speckv_layout other = layout;
  other.weights_digest[0]++;
  Kv kv(layout, Arrangement::token_major);
  for (uint64_t round = 1; round <= 3; round++) {
    Client client(daemon.socket_path());
    ASSERT_EQ(client.opened(), 0);
    const uint32_t number = client.add_layout(layout);
    ASSERT_EQ(client.put(number, round, kv), 0);
    for (uint64_t key = 1; key <= round; key++) {
      ASSERT_EQ(client.get(number, key, kv), 0) << "block " << key << " in round " << round;
      if (GetParam() == SPECKV_PRESET_EXACT) {
        EXPECT_EQ(kv.wrong(key), 0u);
      }
    }
    client.close();
    Client next(daemon.socket_path());
    const uint32_t others = next.add_layout(other);  // refused while the first is known
    EXPECT_EQ(next.get(others, round, kv), -ENOENT);
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, ForgottenLayout,
                         ::testing::Values(SPECKV_PRESET_EXACT, SPECKV_PRESET_Q8));

}  // namespace
}  // namespace speckv::test
