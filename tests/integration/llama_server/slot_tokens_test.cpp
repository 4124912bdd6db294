// SPDX-License-Identifier: Apache-2.0
// slot_tokens_test.cpp - what is known of a slot's tokens is what llama_decode() was given, from
// its beginning, and no more: after tokens went, moved, came twice, came behind a gap, or were
// pictures.
//
// How: batches by hand; no model, no context. A memory is an address that nobody looks at.
#include "slot_tokens.hpp"

#include <gtest/gtest.h>

namespace speckv::llama_server {
namespace {

using Tokens = std::vector<llama_token>;

class SlotTokensTest : public ::testing::Test {
 protected:
  // Tokens at first, first + 1, ... of one sequence.
  void decode(llama_seq_id seq, llama_pos first, Tokens tokens, int32_t result = 0,
              bool pictures = false) {
    const auto count = tokens.size();
    std::vector<llama_pos> at(count);
    std::vector<int32_t> counts(count, 1);
    std::vector<llama_seq_id*> of(count, &seq);
    for (size_t i = 0; i < count; i++) at[i] = first + llama_pos(i);
    llama_batch batch{};
    batch.n_tokens = int32_t(count);
    batch.token = pictures ? nullptr : tokens.data();
    batch.pos = at.data();
    batch.n_seq_id = counts.data();
    batch.seq_id = of.data();
    slots_.decoded(memory_, batch, result);
  }
  // How many tokens are known of this sequence; they are wanted_'s.
  size_t known(llama_seq_id of) {
    size_t most = 0;
    for (llama_seq_id seq = 0; seq < 4; seq++) {
      llama_seq_id found = -1;
      const size_t same = slots_.longest_but(seq, memory_, wanted_, &found);
      if (found == of) most = std::max(most, same);
    }
    return most;
  }
  SlotTokens slots_;
  int place_ = 0;
  llama_memory_t memory_ = reinterpret_cast<llama_memory_t>(&place_);
  const Tokens wanted_{1, 2, 3, 4, 5, 6, 7, 8};
};

TEST_F(SlotTokensTest, ArePutBehindEachOther) {
  decode(0, 0, {1, 2, 3});
  decode(0, 3, {4});
  EXPECT_EQ(known(0), 4u);
  llama_seq_id found = -1;
  EXPECT_EQ(slots_.longest_but(0, memory_, wanted_, &found), 0u) << "not the slot that asks";
  EXPECT_EQ(slots_.longest_but(1, nullptr, wanted_, &found), 0u) << "nor of another context";
}

TEST_F(SlotTokensTest, OthersAreNotTheSame) {
  decode(0, 0, {1, 2, 9, 4});
  EXPECT_EQ(known(0), 2u);
  decode(0, 2, {3, 4});
  EXPECT_EQ(known(0), 4u) << "a position that is computed anew is what it is now";
}

TEST_F(SlotTokensTest, BehindAGapAreNotKnown) {
  decode(0, 0, {1, 2});
  decode(0, 3, {4, 5});
  EXPECT_EQ(known(0), 2u);
}

TEST_F(SlotTokensTest, ThatWentOrMovedEndIt) {
  decode(0, 0, wanted_);
  slots_.removed(memory_, 0, 6, -1);
  EXPECT_EQ(known(0), 6u);
  slots_.removed(memory_, 0, 4, 5);
  EXPECT_EQ(known(0), 4u) << "what is behind a hole is not a beginning";
  slots_.removed(memory_, 0, 3, 3);
  EXPECT_EQ(known(0), 4u) << "nothing was removed";
  slots_.lost(memory_, 0, 2);
  EXPECT_EQ(known(0), 2u);
  slots_.removed(memory_, -1, -1, -1);
  EXPECT_EQ(known(0), 0u);
}

TEST_F(SlotTokensTest, OfADecodeThatFailedAreNotKnown) {
  decode(0, 0, {1, 2});
  decode(0, 2, {3}, 1);
  EXPECT_EQ(known(0), 2u) << "there was no room, and nothing changed";
  decode(0, 1, {2, 3}, -1);
  EXPECT_EQ(known(0), 1u) << "nobody knows what it did";
}

TEST_F(SlotTokensTest, PicturesAreNone) {
  decode(0, 0, {1, 2});
  decode(0, 2, {3, 4}, 0, true);
  decode(0, 4, {5});
  EXPECT_EQ(known(0), 2u);
}

TEST_F(SlotTokensTest, ThatWereCopiedAreTheSame) {
  decode(0, 0, {1, 2, 3, 4});
  slots_.copied(memory_, 0, 1, -1, -1);
  EXPECT_EQ(known(1), 4u);
  decode(2, 0, {1});
  slots_.copied(memory_, 0, 2, 2, -1);
  slots_.lost(memory_, 0, 0);
  slots_.lost(memory_, 1, 0);
  EXPECT_EQ(known(2), 1u) << "behind a gap";
  slots_.set(memory_, 3, {1, 2, 3});
  slots_.kept_only(memory_, 3);
  EXPECT_EQ(known(2), 0u);
  EXPECT_EQ(known(3), 3u);
}

}  // namespace
}  // namespace speckv::llama_server
