// SPDX-License-Identifier: Apache-2.0
// Proves, with llama.cpp itself on a model of two layers, that what the adapter saves is what the
// engine would compute: whatever a context was opened with, wherever its cells lie, whatever was
// moved; and that what it cannot save is one sentence and leaves the context as it was.
//
// How: KV that was saved and restored must give the logits of KV that was never saved; contexts
// whose KV differs for equal tokens must have other fingerprints. Built where there is an engine.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "llama.h"
#include "llama/layout.hpp"
#include "llama/sequence.hpp"
#include "tiny_model.hpp"

namespace speckv::llama {
namespace {

constexpr uint32_t batch_tokens = 32;

class EngineTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    path_ = testing::TempDir() + "speckv-engine-" + std::to_string(getpid()) + ".gguf";
    quality::write_tiny_model(quality::tiny_model("llama"),
                              std::string(ENGINE_ROOT) + "/models/smollm2-135m-q4_0.gguf", path_);
    model_ = llama_model_load_from_file(path_.c_str(), llama_model_default_params());
  }
  static void TearDownTestSuite() {
    llama_model_free(model_);
    std::filesystem::remove(path_);
  }
  void SetUp() override { ASSERT_NE(model_, nullptr); }
  ~EngineTest() override {
    for (llama_context* context : contexts_) llama_free(context);
  }

  static llama_context_params params(uint32_t sequences = 1, bool unified = true) {
    llama_context_params p = llama_context_default_params();
    p.n_ctx = 256;
    p.n_batch = p.n_ubatch = batch_tokens;
    p.n_seq_max = sequences;
    p.kv_unified = unified;
    p.n_threads = p.n_threads_batch = 1;
    p.no_perf = true;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    return p;
  }

  llama_context* open(const llama_context_params& p) {
    contexts_.push_back(llama_init_from_model(model_, p));
    return contexts_.back();
  }

  static StateShape shape_of(llama_context* context) {
    StateShape shape;
    std::string why;
    EXPECT_TRUE(probe_shape(context, &shape, &why)) << why;
    return shape;
  }

  // 0 when it is refused; the sentence is then in why_.
  uint64_t fingerprint(const llama_context_params& p, const Opening& rest = {}) {
    llama_context* context = open(p);
    Opening opening = rest;
    opening.context = p;
    if (!opening.model.kv_overrides) opening.model = llama_model_default_params();
    speckv_layout layout;
    const StateShape shape = shape_of(context);
    return describe_layout(context, opening, shape, 32, 32, &layout, &why_)
               ? speckv_layout_fingerprint(&layout)
               : 0;
  }

  // Tokens first .. first + count of a text that `salt` names.
  static bool decode(llama_context* context, int seq, int first, int count, int salt = 0) {
    for (int at = 0; at < count; at += int(batch_tokens)) {
      const int n = std::min<int>(batch_tokens, count - at);
      llama_batch batch = llama_batch_init(n, 0, 1);
      batch.n_tokens = n;
      for (int i = 0; i < n; i++) {
        const int position = first + at + i;
        batch.token[i] = 1000 + (position + salt) * 7919 % 20000;
        batch.pos[i] = position;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = seq;
        batch.logits[i] = at + i + 1 == count;
      }
      const int error = llama_decode(context, batch);
      llama_batch_free(batch);
      if (error != 0) return false;
    }
    return true;
  }

  static std::vector<float> logits(llama_context* context) {
    const int count = llama_vocab_n_tokens(llama_model_get_vocab(model_));
    const float* first = llama_get_logits_ith(context, -1);
    return {first, first + count};
  }

  static double apart(const std::vector<float>& a, const std::vector<float>& b) {
    double most = 0;
    for (size_t i = 0; i < a.size(); i++) most = std::max(most, std::abs(double(a[i] - b[i])));
    return most;
  }

  bool save(llama_context* context, const StateShape& shape, int seq, int spare, int first,
            uint32_t count) {
    blob_.assign(state_bytes(shape, count), std::byte{0});
    why_.clear();
    return save_tokens(context, shape, seq, spare, first, count, blob_, &map_, &why_);
  }

  // Logits of 8 more tokens after `count` that another context restores from blob_.
  std::vector<float> continued(const StateShape& shape, uint32_t count, int salt) {
    llama_context* context = open(params());
    StateShape one = shape;
    one.streams = 1;
    std::vector<std::byte> blob(state_bytes(one, count));
    StateMap to;
    EXPECT_TRUE(lay_out_state(one, 0, count, blob, &to, &why_)) << why_;
    copy_tokens(map_, 0, to, 0, count);
    EXPECT_TRUE(restore_tokens(context, blob, 0, count, &why_)) << why_;
    EXPECT_TRUE(decode(context, 0, int(count), 8, salt));
    return logits(context);
  }

  static inline std::string path_;
  static inline llama_model* model_ = nullptr;
  std::vector<llama_context*> contexts_;
  std::vector<std::byte> blob_;
  StateMap map_;
  std::string why_;
};

// ---- layouts ----

TEST_F(EngineTest, WhatTurnsKOtherwiseIsAnotherFingerprint) {
  std::set<uint64_t> seen;
  const auto is_new = [&](const llama_context_params& p, const Opening& rest = {}) {
    const uint64_t print = fingerprint(p, rest);
    EXPECT_NE(print, 0u) << why_;
    return seen.insert(print).second;
  };
  EXPECT_TRUE(is_new(params()));
  EXPECT_FALSE(is_new(params()));
  llama_context_params p = params();
  p.rope_freq_base = 1e6F;
  EXPECT_TRUE(is_new(p)) << "base";
  p = params();
  p.rope_freq_scale = 0.25F;
  EXPECT_TRUE(is_new(p)) << "scale";
  p.rope_scaling_type = LLAMA_ROPE_SCALING_TYPE_YARN;
  EXPECT_TRUE(is_new(p)) << "YaRN";
  p.yarn_orig_ctx = 128;
  EXPECT_TRUE(is_new(p)) << "YaRN's length";
  for (float llama_context_params::*factor :
       {&llama_context_params::yarn_ext_factor, &llama_context_params::yarn_attn_factor,
        &llama_context_params::yarn_beta_fast, &llama_context_params::yarn_beta_slow}) {
    p = params();
    p.*factor = 3;
    EXPECT_TRUE(is_new(p)) << "a factor of YaRN";
  }
  p = params();
  p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  EXPECT_TRUE(is_new(p)) << "flash attention";
  p = params();
  p.type_k = p.type_v = GGML_TYPE_BF16;
  EXPECT_TRUE(is_new(p)) << "type";
  p = params();
  p.rope_freq_base = 5e5F;  // what the file says anyhow
  EXPECT_FALSE(is_new(p)) << "the file's own base, said aloud";
}

TEST_F(EngineTest, LorasAndOverriddenKeysAreOtherFingerprints) {
  std::set<uint64_t> seen = {fingerprint(params())};
  const std::string adapter = path_ + ".lora";
  std::ofstream(adapter) << "the bytes of an adapter";
  const auto with = [&](std::vector<Lora> loras) {
    Opening opening{};
    opening.loras = std::move(loras);
    return fingerprint(params(), opening);
  };
  EXPECT_TRUE(seen.insert(with({{adapter, 1.0F}})).second);
  EXPECT_TRUE(seen.insert(with({{adapter, 0.5F}})).second);
  EXPECT_TRUE(seen.insert(with({{adapter, 1.0F}, {adapter, 1.0F}})).second);
  EXPECT_EQ(with({{adapter + ".gone", 1.0F}}), 0u);
  EXPECT_NE(why_.find("LoRA adapter"), std::string::npos) << why_;
  std::ofstream(adapter) << "other bytes";
  EXPECT_TRUE(seen.insert(with({{adapter, 1.0F}})).second);
  std::filesystem::remove(adapter);

  llama_model_kv_override keys[2] = {};
  keys[0].tag = LLAMA_KV_OVERRIDE_TYPE_FLOAT;
  std::strcpy(keys[0].key, "llama.attention.layer_norm_rms_epsilon");
  keys[0].val_f64 = 1e-3;
  Opening opening{};
  opening.model = llama_model_default_params();
  opening.model.kv_overrides = keys;
  EXPECT_TRUE(seen.insert(fingerprint(params(), opening)).second);
  std::strcpy(keys[0].key, "llama.rope.freq_base");
  EXPECT_TRUE(seen.insert(fingerprint(params(), opening)).second);
}

TEST_F(EngineTest, WhatCannotBeDescribedIsRefused) {
  Opening opening{};
  opening.control_vector = true;
  EXPECT_EQ(fingerprint(params(), opening), 0u);
  EXPECT_NE(why_.find("control vector"), std::string::npos) << why_;

  llama_context* context = open(params());
  opening = {};
  opening.model = llama_model_default_params();
  opening.context = params();
  opening.context.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  speckv_layout layout;
  EXPECT_FALSE(describe_layout(context, opening, shape_of(context), 32, 32, &layout, &why_));
  EXPECT_NE(why_.find("not those that this context was opened with"), std::string::npos) << why_;
}

TEST_F(EngineTest, KvTypesThatAreNoFloatsAreRefusedByName) {
  llama_context_params p = params();
  p.type_v = GGML_TYPE_Q8_0;
  StateShape shape;
  EXPECT_FALSE(probe_shape(open(p), &shape, &why_));
  EXPECT_NE(why_.find("keeps V as type 8"), std::string::npos) << why_;
  p = params();
  p.type_k = GGML_TYPE_Q8_0;
  EXPECT_FALSE(probe_shape(open(p), &shape, &why_));
  EXPECT_NE(why_.find("keeps K as type 8"), std::string::npos) << why_;
}

// ---- saving ----

TEST_F(EngineTest, MovedTokensAreSavedAsTheyAreTurned) {
  llama_context* context = open(params(3));
  const StateShape shape = shape_of(context);
  llama_memory_t memory = llama_get_memory(context);
  ASSERT_TRUE(decode(context, 0, 0, 128));
  llama_memory_seq_rm(memory, 0, 32, 64);
  llama_memory_seq_add(memory, 0, 64, -1, -32);
  ASSERT_TRUE(save(context, shape, 0, 2, 0, 96)) << why_;
  const auto pending = blob_;
  EXPECT_EQ(llama_memory_seq_pos_max(memory, 0), 95);
  ASSERT_TRUE(decode(context, 0, 96, 1));  // llama.cpp has surely turned them now
  ASSERT_TRUE(save(context, shape, 0, 2, 0, 96)) << why_;
  EXPECT_EQ(pending, blob_);
}

TEST_F(EngineTest, MovedTokensOfAFullCacheAreSavedAsTheyAreTurned) {
  llama_context* context = open(params(2));
  const StateShape shape = shape_of(context);
  llama_memory_t memory = llama_get_memory(context);
  ASSERT_TRUE(decode(context, 1, 0, 32, 5));
  ASSERT_TRUE(decode(context, 0, 0, 224));
  llama_memory_seq_add(memory, 0, 0, -1, 16);
  ASSERT_TRUE(save(context, shape, 0, -1, 16, 224)) << why_;
  const auto pending = blob_;
  llama_memory_seq_rm(memory, 1, -1, -1);
  ASSERT_TRUE(decode(context, 1, 0, 1, 5));
  ASSERT_TRUE(save(context, shape, 0, -1, 16, 224)) << why_;
  EXPECT_EQ(pending, blob_);
}

// Four slots of a unified cache fill, end and fill again: each save gives the KV that the slot's
// text has in a context of its own.
TEST_F(EngineTest, SlotsOfAUnifiedCacheAreSavedWhereverTheirCellsLie) {
  llama_context* context = open(params(5));
  const StateShape shape = shape_of(context);
  int have[4] = {}, salt[4] = {}, saved = 0, compared = 0;
  unsigned random = 12345;
  for (int step = 0; step < 120; step++) {
    random = random * 1103515245 + 12345;
    const int slot = int(random >> 16) % 4;
    if (have[slot] >= 96 || have[0] + have[1] + have[2] + have[3] + 32 > 256) {
      llama_memory_seq_rm(llama_get_memory(context), slot, -1, -1);
      have[slot] = 0;
      salt[slot] = step;
      continue;
    }
    ASSERT_TRUE(decode(context, slot, have[slot], 32, salt[slot]));
    have[slot] += 32;
    ASSERT_TRUE(save(context, shape, slot, 4, 0, uint32_t(have[slot]))) << why_ << " step " << step;
    if (saved++ % 8 != 0) continue;
    const auto got = continued(shape, uint32_t(have[slot]), salt[slot]);
    llama_context* own = open(params());
    ASSERT_TRUE(decode(own, 0, 0, have[slot], salt[slot]));
    ASSERT_TRUE(decode(own, 0, have[slot], 8, salt[slot]));
    EXPECT_LT(apart(got, logits(own)), 0.05) << "step " << step;
    compared++;
  }
  EXPECT_GT(saved, 60);
  EXPECT_GT(compared, 6);
}

TEST_F(EngineTest, SpareSequencesThatCannotBeLentAreRefused) {
  llama_context* streams = open(params(4, false));
  const StateShape shape = shape_of(streams);
  ASSERT_TRUE(decode(streams, 0, 0, 32));
  EXPECT_FALSE(save(streams, shape, 0, 3, 0, 16));
  EXPECT_NE(why_.find("unified KV"), std::string::npos) << why_;
  EXPECT_TRUE(save(streams, shape, 0, -1, 0, 32)) << why_;

  llama_context* unified = open(params(2));
  const StateShape one = shape_of(unified);
  ASSERT_TRUE(decode(unified, 0, 0, 32));
  ASSERT_TRUE(decode(unified, 1, 0, 32, 9));
  for (int spare : {1, 0, 2}) EXPECT_FALSE(save(unified, one, 0, spare, 0, 16)) << spare;
  EXPECT_FALSE(save(unified, one, 7, -1, 0, 16));
  EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(unified), 1), 31);
  EXPECT_TRUE(save(unified, one, 1, -1, 0, 32)) << why_;
}

// ---- restoring ----

TEST_F(EngineTest, KeepingMoreThanThereIsIsRefusedBeforeAnythingChanges) {
  llama_context* context = open(params(2));
  const StateShape shape = shape_of(context);
  ASSERT_TRUE(decode(context, 0, 0, 64));
  ASSERT_TRUE(save(context, shape, 0, -1, 0, 64)) << why_;
  EXPECT_FALSE(restore_tokens(context, blob_, 0, 65, &why_));
  EXPECT_NE(why_.find("holds 64 tokens"), std::string::npos) << why_;
  EXPECT_FALSE(restore_tokens(context, blob_, 2, 64, &why_));
  EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(context), 0), 63);
  EXPECT_TRUE(restore_tokens(context, blob_, 0, 40, &why_)) << why_;
  EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(context), 0), 39);
}

}  // namespace
}  // namespace speckv::llama
