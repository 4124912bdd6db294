// SPDX-License-Identifier: Apache-2.0
// device_command.cpp - see device_command.hpp.
#include "engine/device_command.hpp"

#include "codec/chanq.hpp"

namespace speckv {

namespace {

using codec::CodecId;

bool has(uint32_t codecs, CodecId id) { return codecs >> uint32_t(id) & 1; }

// How capability bits count tokens and channels; -1: not at all.
int tokens_bit(uint32_t tokens) {
  return tokens == 16 ? 0 : tokens == 32 ? 1 : tokens == 64 ? 2 : -1;
}
int head_dim_bit(uint32_t head_dim) {
  return head_dim >= 64 && head_dim <= 256 && head_dim % 64 == 0 ? int(head_dim / 64) - 1 : -1;
}

bool takes_shape(const speckv_layout& desc, const speckv_engine_info& can) {
  const int tokens = tokens_bit(desc.page_tokens), channels = head_dim_bit(desc.head_dim);
  const bool f16 = desc.dtype == SPECKV_DTYPE_F16, bf16 = desc.dtype == SPECKV_DTYPE_BF16;
  if (tokens < 0 || channels < 0 || (!f16 && !bf16)) return false;
  const uint32_t pages = desc.block_tokens / desc.page_tokens;
  return can.tokens >> tokens & 1 && can.head_dims >> channels & 1 && can.dtypes >> bf16 & 1 &&
         desc.kv_heads <= 256 && pages <= 256;
}

// Tables are those of the page's codec; one segment has one such codec, and of K alone.
bool takes_codecs(const EncodeJob& job, const speckv_engine_info& can) {
  const codec::Preset& preset = *job.preset;
  if (preset.k == CodecId::raw && preset.v == CodecId::raw) return false;
  const uint32_t codecs = job.work == Work::encode ? can.encoders : can.decoders;
  if (!has(codecs, preset.k) || !has(codecs, preset.v)) return false;
  if (job.first && !has(codecs, preset.first)) return false;
  if (codec::is_chanq(preset.v) || (job.first && codec::is_chanq(preset.first))) return false;
  return !codec::is_chanq(preset.k) || (job.tables && job.tables_id);
}

}  // namespace

bool needs_tables(const EncodeJob& job) { return codec::is_chanq(job.preset->k); }

bool codec_command(const EncodeJob& job, const speckv_engine_info& can, speckv_cmd* ret) {
  const speckv_layout& desc = job.layout->desc;
  if (!takes_shape(desc, can) || !takes_codecs(job, can)) return false;
  const bool encodes = job.work == Work::encode;
  const size_t raw_bytes = encodes ? job.raw.size() : job.out.size();
  const size_t stored_bytes = encodes ? job.out.size() : job.stored.size();
  if (raw_bytes != size_t{2} * desc.kv_heads * desc.block_tokens * desc.head_dim * 2) return false;
  if (raw_bytes > SPECKV_CMD_BYTES_MAX || stored_bytes > SPECKV_CMD_BYTES_MAX) return false;
  *ret = speckv_cmd{};
  ret->opcode = encodes ? SPECKV_CMD_ENCODE : SPECKV_CMD_DECODE;
  if (!(can.operations >> ret->opcode & 1)) return false;
  ret->flags = SPECKV_CMD_NOWAIT;
  ret->bf16 = desc.dtype == SPECKV_DTYPE_BF16;
  ret->bytes = uint32_t(stored_bytes);
  ret->heads = uint16_t(desc.kv_heads);
  ret->pages = uint16_t(desc.block_tokens / desc.page_tokens);
  ret->head_dim = uint16_t(desc.head_dim);
  ret->tokens = uint8_t(desc.page_tokens);
  ret->codec_k = uint8_t(job.preset->k);
  ret->codec_v = uint8_t(job.preset->v);
  if (job.first) {
    ret->flags |= SPECKV_CMD_FIRST;
    ret->codec_first = uint8_t(job.preset->first);
  }
  if (!needs_tables(job)) return true;
  const codec::ChanTable& table = job.tables->at(job.layer, 0);
  // Channels pair up as if they turned, and do not: the engine has no words for that.
  if (table.map.rotated && !table.rotation) return false;
  ret->rotated = table.map.rotated;
  if (table.map.half_split) ret->rope |= SPECKV_CMD_ROPE_HALF_SPLIT;
  return true;
}

}  // namespace speckv
