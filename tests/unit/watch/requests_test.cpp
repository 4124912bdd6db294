// SPDX-License-Identifier: Apache-2.0
// requests_test.cpp - every question of speckvctl gets one JSON object; ls and info say what the
// pool really holds.
//
// How: a real shard in plain memory stores blocks, some are then damaged by hand; answers are
// parsed again.
#include "session/control_requests.hpp"

#include <set>

#include "fake_view.hpp"
#include "watch/blocks.hpp"
#include "watch/facts_json.hpp"

namespace speckv {
namespace {

using nlohmann::ordered_json;

class Requests : public ::testing::Test {
 protected:
  ordered_json ask(const std::string& request) {
    const ordered_json answer = ordered_json::parse(text_of(*answer_control(view, request)));
    EXPECT_TRUE(answer.is_object()) << request;
    return answer;
  }
  const Layout& put(uint64_t number, uint32_t layers) {
    const Layout& layout = view.real.layout(layers, SPECKV_PRESET_Q8);
    EXPECT_EQ(view.real.put(layout, number), 0);
    return layout;
  }
  // The key under which the block that a shard stored at the address `number` is shown.
  std::string hex(uint64_t number, uint32_t layers) {
    const Layout& layout = view.real.layout(layers, SPECKV_PRESET_Q8);
    return watch::key_hex(masked(key_of(number), layout.mask));
  }

  FakeView view;
};

TEST_F(Requests, status_has_everything_that_is_known) {
  const ordered_json status = ask("status");
  EXPECT_EQ(status["daemon"]["version"], "9.8");
  EXPECT_EQ(status["namespaces"].size(), 2u);
  EXPECT_EQ(status["namespaces"][0]["written_blocks"], 123);
  EXPECT_EQ(status["sessions"][0]["dropped_completions"], 2);
  EXPECT_EQ(status["threads"][0]["submissions"], 6);
}

TEST_F(Requests, ls_shows_what_is_stored_up_to_its_limit) {
  EXPECT_EQ(ask("ls")["total"], 0);
  for (uint64_t number = 0; number < 20; number++) put(number, number % 2 ? 1 : 3);
  EXPECT_EQ(ask("ls")["blocks"].size(), 20u);
  const ordered_json few = ask("ls default 5");
  EXPECT_EQ(few["total"], 20);
  EXPECT_EQ(few["blocks"].size(), 5u);
  std::set<std::string> keys;
  const ordered_json all = ask("ls default 100");
  for (const auto& block : all["blocks"]) keys.insert(block["key"].get<std::string>());
  for (uint64_t number = 0; number < 20; number++)
    EXPECT_TRUE(keys.count(hex(number, number % 2 ? 1 : 3))) << number;
}

TEST_F(Requests, info_names_each_segment_and_checks_it) {
  const Layout& layout = put(7, 3);
  const ordered_json info = ask("info default " + hex(7, 3));
  EXPECT_EQ(info["key"], hex(7, 3));
  EXPECT_EQ(info["state"], "ok");
  EXPECT_EQ(info["layers"], 3);
  EXPECT_EQ(info["position"], 64);
  EXPECT_TRUE(info["parent"].is_null());
  EXPECT_EQ(info["raw_bytes"], layout.block_bytes);
  ASSERT_EQ(info["segments"].size(), 3u);
  for (const auto& segment : info["segments"]) {
    EXPECT_EQ(segment["state"], "ok");
    EXPECT_EQ(segment["preset"], "q8");
    EXPECT_EQ(segment["payload_bytes"], layout.stored_bytes[0]);
  }
  EXPECT_EQ(ask("info " + hex(7, 3).substr(0, 10))["key"], hex(7, 3))
      << "the first digits are enough";
}

TEST_F(Requests, info_of_a_block_of_one_layer) {
  const Layout& layout = put(3, 1);
  const ordered_json info = ask("info " + hex(3, 1));
  EXPECT_EQ(info["state"], "ok");
  EXPECT_EQ(info["segments"].size(), 1u);
  EXPECT_EQ(info["raw_bytes"], layout.block_bytes) << "it says as much as one with a record";
  EXPECT_EQ(info["position"], 64);
  EXPECT_TRUE(info["parent"].is_null());
}

// Two ranks' blocks of one key: a shard is given their addresses.
TEST_F(Requests, info_of_a_key_shows_the_blocks_of_all_layouts) {
  const Layout& three = put(7, 3);
  const Key key = masked(key_of(7), three.mask);
  const Layout& one = view.real.layout(1, SPECKV_PRESET_Q8);
  shm::Submission submission{};
  submission.key = masked(key, one.mask);
  bool existed = false;
  const std::vector<std::byte> bytes(one.block_bytes);
  ASSERT_EQ(view.real.shard().put(submission, one, one.widths->current(), bytes, 1, &existed), 0);
  const ordered_json info = ask("info " + watch::key_hex(key));
  ASSERT_EQ(info["others"].size(), 1u);
  const ordered_json& other = info["others"][0];
  EXPECT_EQ(info["key"], other["key"]);
  EXPECT_NE(info["layout"], other["layout"]);
  EXPECT_EQ(info["layers"].get<int>() + other["layers"].get<int>(), 4);
}

TEST_F(Requests, info_finds_one_flipped_bit_and_the_layer_it_is_in) {
  put(7, 3);
  const ordered_json before = ask("info " + hex(7, 3));
  const auto offset = before["segments"][1]["offset"].get<uint64_t>();
  view.real.pool()[offset + sizeof(shm::SlotHeader) + 17] ^= std::byte{4};
  const ordered_json after = ask("info " + hex(7, 3));
  EXPECT_EQ(after["segments"][0]["state"], "ok");
  EXPECT_EQ(after["segments"][1]["state"], "corrupt: checksum");
  EXPECT_EQ(after["segments"][2]["state"], "ok");
}

TEST_F(Requests, info_of_damaged_headers_never_leaves_the_pool) {
  const auto with_damage = [&](auto&& damage) {
    view.real.restart();
    put(7, 3);
    shm::Entry entry;
    EXPECT_TRUE(view.real.find(7, &entry));
    damage(reinterpret_cast<shm::SlotHeader*>(view.real.pool() + entry.ref), entry);
    watch::BlockInspector inspector({view.index_file(0), view.pool_file(0)}, entry);
    while (inspector.step()) {
    }
    return inspector.detail().state;
  };
  EXPECT_EQ(with_damage([](auto* header, auto&) { header->payload_bytes = 1u << 30; }),
            "corrupt: its length passes its file's end");
  EXPECT_EQ(with_damage([](auto* header, auto&) { header->gen += 2; }), "changed");
  EXPECT_EQ(with_damage([](auto* header, auto&) { header->key.word[0]++; }),
            "corrupt: another key");
  EXPECT_EQ(with_damage([](auto* header, auto&) { header->fingerprint++; }),
            "corrupt: another layout");
  EXPECT_EQ(with_damage([](auto*, shm::Entry& entry) { entry.ref = FakeView::pool_bytes - 64; }),
            "changed");
  EXPECT_EQ(with_damage([](auto*, shm::Entry& entry) { entry.ref = 1ull << 60; }),
            "corrupt: its offset lies outside its file");
  EXPECT_EQ(with_damage([](auto*, shm::Entry& entry) { entry.layers = 200; }),
            "corrupt: the record has another number of layers");
}

// What one turn of the control thread does is bounded, whatever the index's size: 2^16 buckets of
// which few have a block take as many turns as they should, and none shows more than its part.
TEST_F(Requests, answers_are_worked_out_in_pieces) {
  for (uint64_t number = 0; number < 40; number++) put(number, 3);
  std::vector<std::byte> wide(shm::index_header_bytes + (sizeof(shm::Bucket) << 16));
  std::memcpy(wide.data(), view.real.index(), shm::index_header_bytes);
  auto* header = reinterpret_cast<shm::IndexHeader*>(wide.data());
  header->buckets = (1u << 16) / header->shards;
  std::memcpy(wide.data() + shm::index_header_bytes, view.real.index() + shm::index_header_bytes,
              FakeView::buckets * sizeof(shm::Bucket));
  const watch::NamespaceFiles files{wide, view.pool_file(0)};
  const auto steps_of = [](auto& walk, auto&&... to) {
    int steps = 1;
    while (walk.step(to...)) steps++;
    return steps;
  };
  std::vector<watch::BlockSummary> shown;
  watch::BlockLister few(files, 5), all(files, 100'000);
  EXPECT_LT(steps_of(few, &shown), 40) << "what is not shown is only counted";
  EXPECT_EQ(shown.size(), 5u);
  EXPECT_EQ(few.total(), 40u);
  EXPECT_EQ(steps_of(all, &shown), 1024) << "64 buckets each";
  EXPECT_EQ(shown.size(), 45u);
  watch::BlockFinder finder(files, hex(39, 3));
  EXPECT_EQ(steps_of(finder), 64) << "1,024 buckets each";
  ASSERT_TRUE(finder.found().ok());
  watch::BlockInspector inspector(files, finder.found().value()[0]);
  EXPECT_EQ(steps_of(inspector), 4) << "the record, then a segment each";
  EXPECT_EQ(inspector.detail().segments.size(), 3u);
}

TEST_F(Requests, a_bucket_that_stays_locked_is_skipped) {
  put(7, 1);
  for (uint32_t i = 0; i < FakeView::buckets; i++)
    reinterpret_cast<shm::Bucket*>(view.real.index() + shm::index_header_bytes)[i].head.seq |= 1;
  EXPECT_EQ(ask("ls")["total"], 0);
}

TEST_F(Requests, what_cannot_be_answered_says_why) {
  put(1, 1);
  put(2, 1);
  const std::pair<const char*, int> questions[] = {{"", EINVAL},
                                                   {"bogus", EINVAL},
                                                   {"ls nowhere", ENOENT},
                                                   {"ls default x", EINVAL},
                                                   {"ls default 100001", EINVAL},
                                                   {"ls a b c", EINVAL},
                                                   {"info", EINVAL},
                                                   {"info zz", EINVAL},
                                                   {"info default 00", ENOENT},
                                                   {"info nowhere 00", ENOENT}};
  for (const auto& [question, error] : questions) {
    const ordered_json answer = ask(question);
    EXPECT_EQ(answer["errno"], error) << question << ": " << answer.dump();
    EXPECT_GT(answer["error"].get<std::string>().size(), 10u) << question;
  }
}

TEST_F(Requests, several_keys_with_the_same_first_digits_are_not_guessed) {
  for (uint64_t number = 0; number < 40; number++) put(number, 1);
  const ordered_json answer = ask("info default " + hex(0, 1).substr(0, 1));
  EXPECT_EQ(answer["errno"], EEXIST) << "40 keys, 16 digits: " << answer.dump();
}

TEST_F(Requests, text_that_is_no_utf8_is_answered_all_the_same) {
  EXPECT_EQ(ask("b\xff\xfe")["errno"], EINVAL);
}

}  // namespace
}  // namespace speckv
