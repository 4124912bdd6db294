// SPDX-License-Identifier: Apache-2.0
// sequence.cpp - see sequence.hpp.
#include "sequence.hpp"

#include <vector>

namespace speckv::llama {

namespace {

// One token of a model of SPECKV_LAYERS_MAX layers fits; a probe needs no more.
constexpr size_t kProbeBytes = 64u << 20;

const uint8_t* bytes_of(std::span<const std::byte> blob) {
  return reinterpret_cast<const uint8_t*>(blob.data());
}

bool is_sequence(const llama_context* context, llama_seq_id seq, std::string* ret_why) {
  const uint32_t count = llama_n_seq_max(context);
  if (seq >= 0 && uint32_t(seq) < count) return true;
  *ret_why = "sequence " + std::to_string(seq) + " is not one of this context's " +
             std::to_string(count) + " (n_seq_max)";
  return false;
}

// llama.cpp aborts the process where a part of a sequence crosses from one stream to another.
bool may_lend(llama_context* context, const StateShape& shape, llama_seq_id seq,
              llama_seq_id spare_seq, std::string* ret_why) {
  if (spare_seq < 0) return true;
  if (shape.streams > 1) {
    *ret_why =
        "a spare sequence needs a unified KV (kv_unified), and this context's is not; save whole "
        "sequences, with spare_seq -1";
    return false;
  }
  if (!is_sequence(context, spare_seq, ret_why)) return false;
  if (spare_seq != seq && llama_memory_seq_pos_max(llama_get_memory(context), spare_seq) < 0)
    return true;
  *ret_why = "the spare sequence " + std::to_string(spare_seq) +
             " holds tokens; lend an empty one, or clear it first";
  return false;
}

int decode_one(llama_context* context, llama_seq_id seq, llama_pos position) {
  llama_batch batch = llama_batch_init(1, 0, 1);
  batch.n_tokens = 1;
  batch.token[0] = 0;
  batch.pos[0] = position;
  batch.n_seq_id[0] = 1;
  batch.seq_id[0][0] = seq;
  batch.logits[0] = 1;
  const int error = llama_decode(context, batch);
  llama_batch_free(batch);
  return error;
}

// llama_decode() turns moved K before it looks for room, so that even a full cache (1) does.
bool turn_moved(llama_context* context, llama_seq_id seq, std::string* ret_why) {
  llama_memory_t memory = llama_get_memory(context);
  const llama_pos next = llama_memory_seq_pos_max(memory, seq) + 1;
  const int error = decode_one(context, seq, next);
  if (error == 1) return true;
  if (error == 0 && llama_memory_seq_rm(memory, seq, next, -1)) return true;
  *ret_why = "K that was moved could not be turned to its new positions: llama_decode gave " +
             std::to_string(error);
  return false;
}

}  // namespace

bool learn_shape(llama_context* context, llama_seq_id seq, StateShape* ret_shape,
                 std::string* ret_why) {
  const llama_model* model = llama_get_model(context);
  const llama_rope_type rope = llama_model_rope_type(model);
  if (rope != LLAMA_ROPE_TYPE_NONE && rope != LLAMA_ROPE_TYPE_NORM &&
      rope != LLAMA_ROPE_TYPE_NEOX) {
    *ret_why =
        "the model gives each token several positions (M-RoPE, as models that see images do); "
        "this adapter moves sequences of one position a token";
    return false;
  }
  if (!is_sequence(context, seq, ret_why)) return false;
  llama_memory_t memory = llama_get_memory(context);
  const bool empty = llama_memory_seq_pos_max(memory, seq) < 0;
  if (empty && decode_one(context, seq, 0) != 0) {
    *ret_why = "llama_decode of one token failed, so the layout of its KV is unknown";
    return false;
  }
  const size_t room = empty ? kProbeBytes : llama_state_seq_get_size_ext(context, seq, 0);
  std::vector<std::byte> blob(room);
  const size_t bytes = llama_state_seq_get_data_ext(
      context, reinterpret_cast<uint8_t*>(blob.data()), blob.size(), seq, 0);
  if (empty) llama_memory_seq_rm(memory, seq, -1, -1);
  StateMap map;
  const uint32_t kv_heads = uint32_t(llama_model_n_head_kv(model));
  if (!sort_state(std::span(blob).first(bytes), kv_heads, &map, ret_why)) return false;
  if (map.tokens() == 0 || state_bytes(map.shape(), map.tokens()) != bytes) {
    *ret_why = "the state of " + std::to_string(map.tokens()) + " tokens has " +
               std::to_string(bytes) + " bytes, which is not what its own header says";
    return false;
  }
  *ret_shape = map.shape();
  return true;
}

bool probe_shape(llama_context* context, StateShape* ret_shape, std::string* ret_why) {
  llama_memory_t memory = llama_get_memory(context);
  llama_memory_clear(memory, true);
  const bool known = learn_shape(context, 0, ret_shape, ret_why);
  llama_memory_clear(memory, true);
  return known;
}

bool save_tokens(llama_context* context, const StateShape& shape, llama_seq_id seq,
                 llama_seq_id spare_seq, int32_t first, uint32_t count, std::span<std::byte> blob,
                 StateMap* ret_map, std::string* ret_why, Moved moved) {
  if (blob.size() != state_bytes(shape, count)) {
    *ret_why = "room for " + std::to_string(count) + " tokens is " + std::to_string(blob.size()) +
               " bytes, expected " + std::to_string(state_bytes(shape, count));
    return false;
  }
  if (!is_sequence(context, seq, ret_why) || !may_lend(context, shape, seq, spare_seq, ret_why) ||
      (moved == Moved::perhaps && !turn_moved(context, seq, ret_why)))
    return false;
  llama_memory_t memory = llama_get_memory(context);
  const bool lend = spare_seq >= 0;
  if (lend) llama_memory_seq_cp(memory, seq, spare_seq, first, first + int32_t(count));
  const size_t bytes = llama_state_seq_get_data_ext(
      context, reinterpret_cast<uint8_t*>(blob.data()), blob.size(), lend ? spare_seq : seq, 0);
  if (lend) llama_memory_seq_rm(memory, spare_seq, -1, -1);
  if (bytes != blob.size()) {
    *ret_why = "llama.cpp wrote " + std::to_string(bytes) + " bytes of state for " +
               std::to_string(count) + " tokens, expected " + std::to_string(blob.size());
    return false;
  }
  if (!sort_state(blob, shape.kv_heads, ret_map, ret_why)) return false;
  if (ret_map->first_position() != first || !(ret_map->shape() == shape)) {
    *ret_why = "the saved state begins at position " + std::to_string(ret_map->first_position()) +
               " or has another shape; position " + std::to_string(first) + " was asked for";
    return false;
  }
  return true;
}

bool restore_tokens(llama_context* context, std::span<const std::byte> blob, llama_seq_id seq,
                    uint32_t keep, std::string* ret_why) {
  uint32_t tokens = 0;
  if (!is_sequence(context, seq, ret_why) || !state_tokens(blob, &tokens, ret_why)) return false;
  if (keep > tokens) {
    *ret_why = "the state blob holds " + std::to_string(tokens) + " tokens, fewer than the " +
               std::to_string(keep) + " to keep";
    return false;
  }
  if (llama_state_seq_set_data_ext(context, bytes_of(blob), blob.size(), seq, 0) != blob.size()) {
    *ret_why = "llama.cpp refused a state blob of " + std::to_string(blob.size()) +
               " bytes: is the context large enough and of the shape that was saved?";
    return false;
  }
  llama_memory_t memory = llama_get_memory(context);
  const llama_pos first = llama_memory_seq_pos_min(memory, seq);
  if (!llama_memory_seq_rm(memory, seq, first + llama_pos(keep), -1)) {
    *ret_why = "llama.cpp could not shorten the restored sequence to " + std::to_string(keep);
    return false;
  }
  return true;
}

}  // namespace speckv::llama
