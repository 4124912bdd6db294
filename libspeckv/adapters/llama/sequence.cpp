// SPDX-License-Identifier: Apache-2.0
// sequence.cpp - see sequence.hpp.
#include "sequence.hpp"

#include <cstdlib>
#include <vector>

namespace speckv::llama {

namespace {

// One token of a model of SPECKV_LAYERS_MAX layers fits; a probe needs no more.
constexpr size_t kProbeBytes = 64u << 20;

std::string model_value(const llama_model* model, const std::string& key) {
  char text[128];
  return llama_model_meta_val_str(model, key.c_str(), text, sizeof(text)) < 0 ? "" : text;
}

// Families whose converter writes no RoPE base, because they all have the engine's own.
bool has_default_base(const std::string& family) {
  for (const char* known :
       {"gemma", "gemma2", "gptneox", "phi2", "stablelm", "orion", "plamo", "falcon"})
    if (family == known) return true;
  return false;
}

const uint8_t* bytes_of(std::span<const std::byte> blob) {
  return reinterpret_cast<const uint8_t*>(blob.data());
}

}  // namespace

bool probe_shape(llama_context* context, StateShape* ret_shape, std::string* ret_why) {
  const llama_model* model = llama_get_model(context);
  llama_memory_t memory = llama_get_memory(context);
  llama_memory_clear(memory, true);
  llama_token token = 0;
  if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) {
    *ret_why = "llama_decode of one token failed, so the layout of its KV is unknown";
    return false;
  }
  std::vector<std::byte> blob(kProbeBytes);
  const size_t bytes = llama_state_seq_get_data_ext(
      context, reinterpret_cast<uint8_t*>(blob.data()), blob.size(), 0, 0);
  llama_memory_clear(memory, true);
  StateMap map;
  const uint32_t kv_heads = uint32_t(llama_model_n_head_kv(model));
  if (!parse_state(std::span(blob).first(bytes), kv_heads, &map, ret_why)) return false;
  if (map.tokens() != 1 || state_bytes(map.shape(), 1) != bytes) {
    *ret_why = "the state of one token has " + std::to_string(bytes) +
               " bytes, which is not what its own header says";
    return false;
  }
  *ret_shape = map.shape();
  return true;
}

bool describe_layout(const llama_model* model, const StateShape& shape, uint32_t block_tokens,
                     uint32_t page_tokens, speckv_layout* ret_layout, std::string* ret_why) {
  *ret_layout = speckv_layout{};
  ret_layout->size = sizeof(*ret_layout);
  ret_layout->dtype = shape.dtype;
  ret_layout->layers = shape.layers;
  ret_layout->kv_heads = shape.kv_heads;
  ret_layout->head_dim = shape.head_dim;
  ret_layout->block_tokens = block_tokens;
  ret_layout->page_tokens = page_tokens;
  ret_layout->world = 1;
  switch (llama_model_rope_type(model)) {
    case LLAMA_ROPE_TYPE_NONE:
      ret_layout->rope = SPECKV_ROPE_NONE;
      return true;
    case LLAMA_ROPE_TYPE_NORM:
      ret_layout->rope = SPECKV_ROPE_INTERLEAVED;
      break;
    case LLAMA_ROPE_TYPE_NEOX:
      ret_layout->rope = SPECKV_ROPE_HALF;
      break;
    default:
      *ret_why = "the model's RoPE has more than one position per token";
      return false;
  }
  const std::string family = model_value(model, "general.architecture");
  const std::string dims = model_value(model, family + ".rope.dimension_count");
  const std::string theta = model_value(model, family + ".rope.freq_base");
  ret_layout->rope_dims = uint32_t(std::strtoul(dims.c_str(), nullptr, 10));
  if (theta.empty() && has_default_base(family)) {
    ret_layout->rope_theta[0] = 10000.0F;
    return true;
  }
  if (theta.empty()) {
    *ret_why = "the model file does not say its RoPE base (" + family +
               ".rope.freq_base), so how its K is turned is unknown; convert the model again";
    return false;
  }
  ret_layout->rope_theta[0] = std::strtof(theta.c_str(), nullptr);
  return true;
}

bool save_tokens(llama_context* context, const StateShape& shape, llama_seq_id seq,
                 llama_seq_id spare_seq, int32_t first, uint32_t count, std::span<std::byte> blob,
                 StateMap* ret_map, std::string* ret_why) {
  if (blob.size() != state_bytes(shape, count)) {
    *ret_why = "room for " + std::to_string(count) + " tokens is " + std::to_string(blob.size()) +
               " bytes, expected " + std::to_string(state_bytes(shape, count));
    return false;
  }
  llama_memory_t memory = llama_get_memory(context);
  const bool lend = spare_seq >= 0;
  if (lend) {
    llama_memory_seq_rm(memory, spare_seq, -1, -1);
    llama_memory_seq_cp(memory, seq, spare_seq, first, first + int32_t(count));
  }
  const size_t bytes = llama_state_seq_get_data_ext(
      context, reinterpret_cast<uint8_t*>(blob.data()), blob.size(), lend ? spare_seq : seq, 0);
  if (lend) llama_memory_seq_rm(memory, spare_seq, -1, -1);
  if (bytes != blob.size()) {
    *ret_why = "llama.cpp wrote " + std::to_string(bytes) + " bytes of state for " +
               std::to_string(count) + " tokens, expected " + std::to_string(blob.size());
    return false;
  }
  if (!parse_state(blob, shape.kv_heads, ret_map, ret_why)) return false;
  if (ret_map->first_position() != first || !(ret_map->shape() == shape)) {
    *ret_why = "the saved state begins at position " + std::to_string(ret_map->first_position()) +
               " or has another shape; position " + std::to_string(first) + " was asked for";
    return false;
  }
  return true;
}

bool restore_tokens(llama_context* context, std::span<const std::byte> blob, llama_seq_id seq,
                    uint32_t keep, std::string* ret_why) {
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
