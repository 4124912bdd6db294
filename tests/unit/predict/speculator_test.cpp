// SPDX-License-Identifier: Apache-2.0
// speculator_test.cpp - what is proposed, when, and that harm is noticed.
//
// How: hand-made sessions for each source; a source that is always wrong; then random calls against
// a plain model of who is away and asked for (seed printed), with operator new counted.
#include "predict/speculator.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "allocations.hpp"

namespace speckv::predict {
namespace {

constexpr uint64_t kS = 1'000'000'000;

uint64_t key_of(uint64_t session, uint64_t position) {
  return ((session + 1) * 1'000'003 + position + 1) * 0x9E3779B97F4A7C15ull;
}

struct Tier {
  explicit Tier(std::array<bool, kSources> on = kAllSources) : speculator(options(on)) {}
  static SpeculatorOptions options(std::array<bool, kSources> on) {
    SpeculatorOptions options;
    options.blocks_max = 4096;
    options.block_bytes = 1 << 20;
    options.tier_bytes_per_s = 100 << 20;  // 100 blocks a second, 50 of them for guesses
    options.on = on;
    return options;
  }
  std::vector<uint64_t> chain(uint64_t session, uint32_t blocks) {
    std::vector<uint64_t> keys;
    for (uint32_t p = 0; p < blocks; ++p) keys.push_back(key_of(session, p));
    return keys;
  }
  void ask(uint64_t session, uint32_t blocks) {
    const auto keys = chain(session, blocks);
    speculator.on_request(keys, now_ns);
    for (uint32_t p = 0; p < blocks; ++p)
      speculator.on_insert(keys[p], p ? keys[p - 1] : 0, now_ns);
  }
  void demote(uint64_t session, uint32_t from, uint32_t blocks) {
    for (uint32_t p = from; p < blocks; ++p) speculator.on_away(key_of(session, p));
  }
  std::vector<uint64_t> proposed(uint32_t most) {
    std::vector<Proposal> proposals(most);
    proposals.resize(speculator.propose(now_ns, UINT64_MAX, proposals));
    std::vector<uint64_t> keys;
    for (const Proposal& proposal : proposals) keys.push_back(proposal.key);
    last = proposals;
    return keys;
  }
  uint64_t now_ns = 1000 * kS;
  Speculator speculator;
  std::vector<Proposal> last;
};

TEST(Speculator, an_announced_chain_is_read_ahead_in_order_and_once) {
  Tier tier;
  tier.ask(1, 10);
  tier.demote(1, 3, 10);
  tier.speculator.on_near(key_of(1, 5));
  tier.now_ns += 100 * kS;
  auto chain = tier.chain(1, 12);  // two that were never stored
  tier.speculator.on_request(chain, tier.now_ns);
  EXPECT_EQ(tier.proposed(3), (std::vector<uint64_t>{chain[3], chain[4], chain[6]}));
  EXPECT_EQ(tier.last[0].source, Source::chain);
  EXPECT_EQ(tier.last[0].saved_ns, 10'000'000u);
  EXPECT_EQ(tier.proposed(9), (std::vector<uint64_t>{chain[7], chain[8], chain[9]}));
  tier.speculator.on_request(chain, tier.now_ns);
  EXPECT_TRUE(tier.proposed(9).empty()) << "they are on their way";
}

TEST(Speculator, a_budget_is_kept) {
  Tier tier;
  tier.ask(1, 10);
  tier.demote(1, 0, 10);
  tier.speculator.on_request(tier.chain(1, 10), tier.now_ns);
  std::array<Proposal, 10> proposals;
  EXPECT_EQ(tier.speculator.propose(tier.now_ns, (3 << 20) + 5, proposals), 3u);
  EXPECT_EQ(tier.speculator.propose(tier.now_ns, 0, proposals), 0u);
}

TEST(Speculator, no_more_waits_unread_than_the_pool_has_room_for) {
  SpeculatorOptions options = Tier::options(kAllSources);
  options.unread_bytes_max = 4 << 20;
  Tier tier;
  tier.speculator = Speculator(options);
  tier.ask(1, 10);
  tier.demote(1, 0, 10);
  tier.speculator.on_request(tier.chain(1, 10), tier.now_ns);
  EXPECT_EQ(tier.proposed(9).size(), 4u);
  EXPECT_TRUE(tier.proposed(9).empty());
  tier.speculator.on_near(key_of(1, 0));
  tier.speculator.on_used(key_of(1, 0), tier.now_ns);
  EXPECT_EQ(tier.proposed(9), std::vector<uint64_t>{key_of(1, 4)});
}

TEST(Speculator, what_was_refused_may_be_proposed_again) {
  Tier tier;
  tier.ask(1, 1);
  tier.demote(1, 0, 1);
  tier.speculator.on_request(tier.chain(1, 1), tier.now_ns);
  ASSERT_EQ(tier.proposed(1).size(), 1u);
  tier.speculator.on_refused(key_of(1, 0));
  EXPECT_EQ(tier.speculator.state(Source::chain, tier.now_ns).fetched, 0u);
  tier.speculator.on_request(tier.chain(1, 1), tier.now_ns);
  EXPECT_EQ(tier.proposed(1).size(), 1u);
}

// Sessions pause about five minutes and always come back.
void teach_pauses(Tier& tier, bool come_back, uint64_t first = 100) {
  for (uint64_t s = first; s < first + 300; ++s) {
    tier.ask(s, 2);
    tier.now_ns += 2 * kS;
  }
  tier.now_ns += 300 * kS;
  tier.proposed(1);
  for (uint64_t s = first; come_back && s < first + 300; ++s) {
    tier.ask(s, 2);
    tier.now_ns += kS / 1000;
  }
}

TEST(Speculator, a_silent_session_is_fetched_when_its_kind_is_about_to_speak) {
  Tier tier({false, false, false, true});
  for (int round = 0; round < 3; ++round) teach_pauses(tier, true);
  tier.ask(1, 6);
  tier.now_ns += 5 * kS;
  tier.ask(1, 8);
  tier.demote(1, 2, 8);
  std::vector<uint64_t> got;
  for (int s = 0; s < 700 && got.empty(); ++s) {
    tier.now_ns += kS;
    got = tier.proposed(6);
  }
  const auto chain = tier.chain(1, 8);
  EXPECT_EQ(got, std::vector<uint64_t>(chain.begin() + 2, chain.end())) << "in leading order";
  ASSERT_FALSE(tier.last.empty());
  EXPECT_GE(tier.last[0].p_use, 0.5f);
  EXPECT_GT(tier.last[0].expected_ns, tier.now_ns);
}

TEST(Speculator, a_session_that_went_on_elsewhere_is_not_fetched) {
  Tier tier({false, false, false, true});
  for (int round = 0; round < 3; ++round) teach_pauses(tier, true);
  tier.ask(1, 8);
  auto other = tier.chain(1, 2);  // the same beginning, then something else
  for (uint32_t p = 2; p < 12; ++p) other.push_back(key_of(2, p));
  tier.now_ns += 5 * kS;
  tier.speculator.on_request(other, tier.now_ns);
  tier.speculator.on_insert(key_of(2, 2), other[1], tier.now_ns);
  tier.demote(1, 2, 8);
  for (int s = 0; s < 700; ++s) {
    tier.now_ns += kS;
    EXPECT_TRUE(tier.proposed(6).empty()) << s;
  }
}

TEST(Speculator, where_nobody_comes_back_nothing_is_guessed) {
  Tier tier({false, false, false, true});
  for (int round = 0; round < 3; ++round) teach_pauses(tier, false, 100 + 300 * uint64_t(round));
  tier.ask(1, 8);
  tier.demote(1, 0, 8);
  for (int s = 0; s < 2000; ++s) {
    tier.now_ns += kS;
    EXPECT_TRUE(tier.proposed(8).empty()) << s;
  }
}

// Parents are what clients say: a chain that bites its tail must end.
TEST(Speculator, parents_in_a_circle_end) {
  Tier tier({false, true, true, true});
  for (int round = 0; round < 3; ++round) {
    for (uint32_t p = 0; p < 3; ++p)
      tier.speculator.on_insert(key_of(1, p), key_of(1, (p + 2) % 3), tier.now_ns);
    tier.speculator.on_gone(key_of(1, uint32_t(round)), tier.now_ns);
    tier.speculator.on_insert(key_of(1, uint32_t(round)), key_of(1, uint32_t(round)), tier.now_ns);
    tier.demote(1, 0, 3);
    for (uint32_t p = 0; p < 3; ++p) {
      tier.speculator.on_hit(key_of(1, p), tier.now_ns);
      tier.speculator.on_hint(key_of(1, p), tier.now_ns + kS, tier.now_ns);
    }
    tier.now_ns += 3 * kS;
    EXPECT_LE(tier.proposed(9).size(), 3u);
  }
}

// A client says when it is back: its chain comes up so much before that all of it can be read.
TEST(Speculator, a_session_that_said_when_is_fetched_just_before) {
  Tier tier({false, true, false, false});
  tier.ask(1, 20);
  tier.demote(1, 4, 20);
  tier.speculator.on_hint(key_of(1, 19), tier.now_ns + 100 * kS, tier.now_ns);
  tier.speculator.on_hint(key_of(1, 9), tier.now_ns + 100 * kS, tier.now_ns);  // less than it said
  tier.now_ns += 99 * kS;
  EXPECT_TRUE(tier.proposed(20).empty());
  tier.now_ns += kS / 5;
  const auto chain = tier.chain(1, 20);
  EXPECT_EQ(tier.proposed(20), std::vector<uint64_t>(chain.begin() + 4, chain.end()));
  EXPECT_EQ(tier.last[0].source, Source::hint);
  EXPECT_NEAR(double(tier.last[0].expected_ns), double(tier.now_ns) + 0.9 * kS, 0.2 * kS);
}

// The beginning that many share is nobody's own.
TEST(Speculator, a_hint_of_what_many_begin_with_does_not_count) {
  Tier tier({false, true, false, false});
  tier.ask(1, 20);
  tier.demote(1, 0, 20);
  tier.speculator.on_hint(key_of(1, 2), tier.now_ns + 2 * kS, tier.now_ns);
  tier.now_ns += 2 * kS;
  EXPECT_TRUE(tier.proposed(20).empty());
}

TEST(Speculator, what_is_announced_key_by_key_is_read_in_that_order) {
  Tier tier;
  tier.ask(1, 10);
  tier.demote(1, 5, 10);
  for (uint32_t p : {4u, 7u, 6u, 7u}) tier.speculator.on_announced(key_of(1, p));
  std::vector<Proposal> proposals(9);
  proposals.resize(tier.speculator.propose(tier.now_ns, UINT64_MAX, proposals, true));
  ASSERT_EQ(proposals.size(), 2u);
  EXPECT_EQ(proposals[0].key, key_of(1, 7));
  EXPECT_EQ(proposals[1].key, key_of(1, 6));
}

// What the tier below has dropped is found by looking, and its record used again.
TEST(Speculator, what_lies_below_can_be_looked_through) {
  Tier tier;
  tier.ask(1, 30);
  tier.demote(1, 10, 30);
  std::map<uint64_t, int> seen;
  for (uint32_t i = 0; i < 4096; ++i) {
    uint64_t key = 0;
    if (tier.speculator.look_next(&key)) seen[key]++;
  }
  EXPECT_EQ(seen.size(), 20u);
  for (const auto& [key, times] : seen) tier.speculator.on_gone(key, tier.now_ns);
  EXPECT_FALSE(tier.speculator.knows(key_of(1, 20)));
  EXPECT_TRUE(tier.speculator.knows(key_of(1, 9)));
}

TEST(Speculator, children_are_followed_as_far_as_they_were_right) {
  Tier tier({false, false, true, false});
  tier.ask(1, 40);
  for (int round = 0; round < 20; ++round) {  // read from end to end, always the same
    tier.now_ns += 2 * kS;
    for (uint32_t p = 0; p < 40; ++p) tier.speculator.on_hit(key_of(1, p), tier.now_ns);
  }
  tier.demote(1, 1, 40);
  tier.now_ns += 100 * kS;
  tier.speculator.on_hit(key_of(1, 0), tier.now_ns);
  const auto got = tier.proposed(64);
  ASSERT_GE(got.size(), 8u);
  for (uint32_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], key_of(1, i + 1));
  EXPECT_GT(tier.last[0].p_use, tier.last.back().p_use);
  EXPECT_GE(tier.last.back().p_use, 0.5f);
}

TEST(Speculator, guesses_take_no_more_than_their_share_of_the_tier) {
  Tier tier({false, false, true, false});
  for (uint64_t s = 1; s <= 50; ++s) tier.ask(s, 20);
  for (int round = 0; round < 20; ++round) {
    tier.now_ns += 2 * kS;
    for (uint64_t s = 1; s <= 50; ++s)
      for (uint32_t p = 0; p < 20; ++p) tier.speculator.on_hit(key_of(s, p), tier.now_ns);
  }
  for (uint64_t s = 1; s <= 50; ++s) {
    tier.demote(s, 1, 20);
    tier.speculator.on_hit(key_of(s, 0), tier.now_ns);
  }
  tier.now_ns += 1000 * kS;
  EXPECT_EQ(tier.proposed(400).size(), 50u) << "a second's worth is saved up, not more";
  tier.now_ns += kS / 10;
  EXPECT_EQ(tier.proposed(400).size(), 5u);
  EXPECT_GT(tier.speculator.due_ns(tier.now_ns), tier.now_ns);
  EXPECT_LE(tier.speculator.due_ns(tier.now_ns), tier.now_ns + kS / 40);
}

TEST(SourceGate, a_source_that_does_harm_is_turned_off_and_says_so) {
  SourceGate gate;
  uint64_t now_ns = 5 * kS;
  uint32_t fetched = 0;
  for (; fetched < 10'000 && gate.admits(now_ns); ++fetched) {
    gate.on_fetched();
    gate.on_wasted(now_ns);
  }
  EXPECT_EQ(fetched, SourceGate::kWindow / 2);
  EXPECT_TRUE(gate.is_off(now_ns));
  EXPECT_EQ(gate.times_off, 1u);
  now_ns += SourceGate::kOffNs;
  EXPECT_FALSE(gate.is_off(now_ns));
  for (fetched = 0; fetched < 10'000 && gate.admits(now_ns); ++fetched) {
    gate.on_fetched();
    gate.on_wasted(now_ns);
  }
  EXPECT_EQ(fetched, SourceGate::kWindow / 2);
  EXPECT_TRUE(gate.is_off(now_ns + SourceGate::kOffNs)) << "twice as long each time in a row";
}

TEST(SourceGate, nothing_known_means_little_under_way) {
  SourceGate gate;
  uint32_t fetched = 0;
  for (; fetched < 10'000 && gate.admits(1); ++fetched) gate.on_fetched();
  EXPECT_EQ(fetched, SourceGate::kUnreadMax);
  for (uint32_t i = 0; i < SourceGate::kWindow; ++i) gate.on_used(1);
  EXPECT_TRUE(gate.admits(1));
  for (; fetched < 10'000 && gate.admits(1); ++fetched) gate.on_fetched();
  EXPECT_EQ(fetched - SourceGate::kWindow,
            SourceGate::kUnreadMax + SourceGate::kEarned * SourceGate::kWindow)
      << "more for a source that was right, and no licence";
}

TEST(ChainNodes, random_calls_against_a_map) {
  const uint64_t seed = 7;
  std::mt19937_64 random(seed);
  ChainNodes nodes(300);
  std::map<uint64_t, uint32_t> model;
  for (uint32_t i = 0; i < 200'000; ++i) {
    const uint64_t key = (random() % 500) << (i % 2 ? 40 : 0);  // bad low bits, too
    const auto known = model.find(key);
    ASSERT_EQ(nodes.find(key), known == model.end() ? kNoNode : known->second) << i;
    if (known != model.end()) {
      nodes.drop(known->second);
      model.erase(known);
    } else {
      const uint32_t node = nodes.make(key);
      ASSERT_EQ(node == kNoNode, model.size() == 300) << i;
      if (node != kNoNode) model[key] = node;
    }
  }
}

struct Known {
  bool stored = false, away = false, asked = false;
};

// Random calls of everything, against who is away and asked for.
struct RandomCalls {
  explicit RandomCalls(uint64_t seed) : random(seed), speculator(options()) {
    chain.reserve(64);
    for (uint64_t s = 0; s < 40; ++s)
      for (uint32_t p = 0; p < 32; ++p) model[key_of(s, p)] = {};
  }
  static SpeculatorOptions options() {
    SpeculatorOptions options = Tier::options(kAllSources);
    options.blocks_max = blocks_max;
    return options;
  }
  void happens(uint64_t session, uint32_t position) {
    const uint64_t key = key_of(session, position);
    Known& state = model[key];
    switch (random() % 9) {
      case 0:
        chain.clear();
        for (uint32_t p = 0; p < position; ++p) chain.push_back(key_of(session, p));
        return speculator.on_request(chain, now_ns);
      case 1:
      case 2:
        if (!state.stored && stored == blocks_max) return;
        speculator.on_insert(key, position ? key_of(session, position - 1) : 0, now_ns);
        stored += state.stored ? 0 : 1;
        state.stored = true;
        return;
      case 3:
        return speculator.on_hit(key, now_ns);
      case 4:
        speculator.on_away(key);
        state.away = state.stored;
        state.asked = false;
        return;
      case 5:
        speculator.on_near(key);
        state.away = state.asked = false;
        random() % 2 ? speculator.on_used(key, now_ns) : speculator.on_wasted(key, now_ns);
        return;
      case 6:
        return speculator.on_hint(key, now_ns + random() % (400 * kS), now_ns);
      case 7:
        return speculator.on_announced(key);
      default:
        if (random() % 4) return;
        speculator.on_gone(key, now_ns);
        stored -= state.stored ? 1 : 0;
        state = {};
    }
  }

  static constexpr uint32_t blocks_max = 700;
  std::mt19937_64 random;
  Speculator speculator;
  std::map<uint64_t, Known> model;
  std::vector<uint64_t> chain;
  uint64_t now_ns = 1;
  uint32_t stored = 0;
};

TEST(Speculator, random_calls_propose_only_what_is_away_and_not_on_its_way) {
  const uint64_t seed = 20261201;
  RecordProperty("seed", std::to_string(seed));
  RandomCalls calls(seed);
  std::vector<Proposal> proposals(8);
  uint64_t proposed = 0;
  const size_t before = allocations();
  for (uint32_t i = 0; i < 200'000; ++i) {
    calls.now_ns += calls.random() % (i % 100 ? kS : 500 * kS);
    const uint64_t session = calls.random() % 40;
    if (calls.random() % 10) {
      calls.happens(session, uint32_t(calls.random() % 32));
      continue;
    }
    const uint32_t n = calls.speculator.propose(calls.now_ns, UINT64_MAX, proposals);
    proposed += n;
    for (uint32_t k = 0; k < n; ++k) {
      Known& its = calls.model[proposals[k].key];
      ASSERT_TRUE(its.stored && its.away && !its.asked) << "call " << i << " seed " << seed;
      its.asked = true;
    }
    ASSERT_GT(calls.speculator.due_ns(calls.now_ns), calls.now_ns);
  }
  EXPECT_EQ(allocations(), before) << "no allocation after construction";
  EXPECT_GT(proposed, 1000u);
}

TEST(Speculator, memory_a_block_is_bounded) {
  for (uint32_t blocks : {10'000u, 1'000'000u}) {
    SpeculatorOptions options = Tier::options(kAllSources);
    options.blocks_max = blocks;
    EXPECT_LE(Speculator(options).bytes(), Speculator::kBytesPerBlockMax * blocks);
    EXPECT_LE(Speculator(options).bytes(), 88ull * blocks) << "what config/limits.hpp says";
  }
}

}  // namespace
}  // namespace speckv::predict
