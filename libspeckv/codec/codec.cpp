// SPDX-License-Identifier: Apache-2.0
// codec.cpp - the registry, the names and the preset tables.
#include "codec/codec.hpp"

#include <array>
#include <iterator>

#include "codec/chanq.hpp"
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/paper.hpp"
#include "codec/q8.hpp"
#include "codec/raw.hpp"
#include "codec/registry.hpp"
#include "codec/rowq.hpp"
#include "codec/xpack.hpp"

namespace speckv::codec {
namespace {

bool known_tokens(uint16_t tokens) { return tokens == 16 || tokens == 32 || tokens == 64; }

bool known_shape(const PageShape& shape) {
  return known_tokens(shape.tokens) && shape.head_dim >= 1 &&
         shape.head_dim <= SPECKV_HEAD_DIM_MAX &&
         (shape.dtype == SPECKV_DTYPE_F16 || shape.dtype == SPECKV_DTYPE_BF16 ||
          shape.dtype == SPECKV_DTYPE_F8);
}

// The reason of a refusal, looked for only once it happened. The caller's buffer may change
// meanwhile: still a refusal.
Refusal why_refused(CodecId id, const PageShape& shape, const ConstView& in) {
  const Refusal reason = golden::judge(id, shape.dtype, golden::magnitude_max(shape, in));
  return reason == Refusal::none ? Refusal::out_of_range : reason;
}

size_t raw_size(CodecId, const PageShape& shape) { return shape.raw_bytes(); }
Refusal raw_page(CodecId, const PageShape& shape, const ConstView& in, std::byte* out,
                 const ChanTable*, const EncodeHints&) {
  raw_encode(shape, in, out);
  return Refusal::none;
}
void raw_unpage(CodecId, const PageShape& shape, const std::byte* in, const View& out,
                const ChanTable*, const DecodeHints&) {
  raw_decode(shape, in, out);
}

size_t q8_size(CodecId, const PageShape& shape) {
  return shape.dtype == SPECKV_DTYPE_F8 ? 0 : q8_bytes(shape);
}
Refusal q8_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                const ChanTable*, const EncodeHints& hints) {
  if (q8_encode(shape, in, out, hints.next_page)) return Refusal::none;
  return why_refused(id, shape, in);
}
void q8_unpage(CodecId, const PageShape& shape, const std::byte* in, const View& out,
               const ChanTable*, const DecodeHints& hints) {
  q8_decode(shape, in, out, hints.stream);
}

size_t q8sink_size(CodecId, const PageShape& shape) {
  return shape.dtype == SPECKV_DTYPE_F8 ? 0 : q8sink_bytes(shape);
}
Refusal q8sink_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                    const ChanTable*, const EncodeHints& hints) {
  if (q8sink_encode(shape, in, out, hints.next_page)) return Refusal::none;
  return why_refused(id, shape, in);
}
void q8sink_unpage(CodecId, const PageShape& shape, const std::byte* in, const View& out,
                   const ChanTable*, const DecodeHints& hints) {
  q8sink_decode(shape, in, out, hints.stream);
}

size_t paper_size(CodecId, const PageShape& shape) {
  return paper_takes(shape) ? paper_bytes(shape) : 0;
}
Refusal paper_page(CodecId, const PageShape& shape, const ConstView& in, std::byte* out,
                   const ChanTable*, const EncodeHints&) {
  return paper_encode(shape, in, out);
}
void paper_unpage(CodecId, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable*, const DecodeHints&) {
  paper_decode(shape, in, out);
}

size_t rowq_size(CodecId id, const PageShape& shape) {
  return rowq_takes(shape) ? rowq_bytes(rowq_bits(id), shape) : 0;
}
Refusal rowq_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                  const ChanTable*, const EncodeHints& hints) {
  if (rowq_encode(rowq_bits(id), shape, in, out, hints.next_page)) return Refusal::none;
  return why_refused(id, shape, in);
}
void rowq_unpage(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                 const ChanTable*, const DecodeHints& hints) {
  rowq_decode(rowq_bits(id), shape, in, out, hints.stream);
}

size_t chanq_size(CodecId id, const PageShape& shape) {
  return chanq_takes(shape) ? chanq_bytes(id, shape) : 0;
}
Refusal chanq_page(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                   const ChanTable* table, const EncodeHints& hints) {
  bool accepted;
  if (table == nullptr) {
    const ChanTable plain = chanq_plain_table(id, shape);
    accepted = chanq_encode(id, shape, in, out, plain, hints.next_page);
  } else {
    if (!chanq_fits(*table, shape)) return Refusal::needs_table;
    accepted = chanq_encode(id, shape, in, out, *table, hints.next_page);
  }
  return accepted ? Refusal::none : why_refused(id, shape, in);
}
void chanq_unpage(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable* table, const DecodeHints& hints) {
  if (table == nullptr) {
    chanq_decode(id, shape, in, out, chanq_plain_table(id, shape), hints.stream);
  } else if (chanq_fits(*table, shape)) {
    chanq_decode(id, shape, in, out, *table, hints.stream);
  }
}

size_t xpack_size(CodecId, const PageShape& shape) {
  return xpack_takes(shape) ? xpack_map(shape).bytes : 0;
}
Refusal xpack_page(CodecId, const PageShape& shape, const ConstView& in, std::byte* out,
                   const ChanTable*, const EncodeHints& hints) {
  return xpack_encode(shape, in, out, hints.next_page) ? Refusal::none : Refusal::no_room;
}
void xpack_unpage(CodecId, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable*, const DecodeHints& hints) {
  xpack_decode(shape, in, out, hints.stream);
}

constexpr CodecEntry codecs[] = {
    {CodecId::raw, "raw", raw_size, raw_page, raw_unpage, true, false},
    {CodecId::paper, "paper", paper_size, paper_page, paper_unpage, false, true},
    {CodecId::q8, "q8", q8_size, q8_page, q8_unpage, true, false},
    {CodecId::q8sink, "q8sink", q8sink_size, q8sink_page, q8sink_unpage, true, false},
    {CodecId::rowq3, "rowq3", rowq_size, rowq_page, rowq_unpage, false, true},
    {CodecId::rowq4, "rowq4", rowq_size, rowq_page, rowq_unpage, false, true},
    {CodecId::rowq5, "rowq5", rowq_size, rowq_page, rowq_unpage, false, true},
    {CodecId::rowq6, "rowq6", rowq_size, rowq_page, rowq_unpage, false, true},
    {CodecId::rowq8, "rowq8", rowq_size, rowq_page, rowq_unpage, false, true},
    {CodecId::xpack, "xpack", xpack_size, xpack_page, xpack_unpage, true, false},
    {CodecId::chanq2_5, "chanq2.5", chanq_size, chanq_page, chanq_unpage, false, true},
    {CodecId::chanq3, "chanq3", chanq_size, chanq_page, chanq_unpage, false, true},
    {CodecId::chanq3_5, "chanq3.5", chanq_size, chanq_page, chanq_unpage, false, true},
    {CodecId::chanq4, "chanq4", chanq_size, chanq_page, chanq_unpage, false, true},
    {CodecId::chanq4_5, "chanq4.5", chanq_size, chanq_page, chanq_unpage, false, true},
    {CodecId::chanq5, "chanq5", chanq_size, chanq_page, chanq_unpage, false, true},
    {CodecId::chanq7, "chanq7", chanq_size, chanq_page, chanq_unpage, false, true},
};

// By id: the place in codecs, from 1. Looked up once a page.
constexpr std::array<uint8_t, 256> places = [] {
  std::array<uint8_t, 256> made{};
  for (uint8_t i = 0; i < std::size(codecs); ++i) made[static_cast<uint8_t>(codecs[i].id)] = i + 1;
  return made;
}();

struct PresetEntry {
  uint32_t id;
  std::string_view name;
  Preset codecs;
};
constexpr PresetEntry presets[] = {
    {SPECKV_PRESET_EXACT, "exact", {CodecId::raw, CodecId::raw, CodecId::raw}},
    {SPECKV_PRESET_Q8, "q8", {CodecId::q8, CodecId::q8, CodecId::q8}},
    {SPECKV_PRESET_NEAR_LOSSLESS,
     "near-lossless",
     {CodecId::chanq7, CodecId::rowq8, CodecId::q8sink, true}},
    {SPECKV_PRESET_BALANCED, "balanced", {CodecId::chanq4_5, CodecId::rowq5, CodecId::q8}},
    {SPECKV_PRESET_COMPACT, "compact", {CodecId::chanq3_5, CodecId::rowq4, CodecId::q8}},
    {SPECKV_PRESET_TIGHT, "tight", {CodecId::chanq3, CodecId::rowq3, CodecId::q8}},
    {SPECKV_PRESET_LOSSLESS, "lossless", {CodecId::xpack, CodecId::xpack, CodecId::xpack}},
};

bool exists(const Preset& preset) {
  return find_codec(preset.k) != nullptr && find_codec(preset.v) != nullptr &&
         find_codec(preset.first) != nullptr;
}

}  // namespace

const CodecEntry* find_codec(CodecId id) {
  const size_t i = places[static_cast<uint8_t>(id)];
  return i == 0 ? nullptr : &codecs[i - 1];
}

size_t encoded_bytes(CodecId id, const PageShape& shape, const ChanTable* table) {
  const CodecEntry* codec = find_codec(id);
  if (is_chanq(id) && table != nullptr && !chanq_fits(*table, shape)) return 0;
  return codec == nullptr || !known_shape(shape) ? 0 : codec->bytes(id, shape);
}

Refusal encode(CodecId id, const PageShape& shape, ConstView in, std::span<std::byte> out,
               const ChanTable* table) {
  const size_t bytes = encoded_bytes(id, shape, table);
  if (bytes == 0 || out.size() < bytes) return Refusal::unsupported_shape;
  return find_codec(id)->encode(id, shape, in, out.data(), table, EncodeHints{});
}

void decode(CodecId id, const PageShape& shape, std::span<const std::byte> in, View out,
            const ChanTable* table) {
  const size_t bytes = encoded_bytes(id, shape, table);
  if (bytes == 0 || in.size() < bytes) return;
  find_codec(id)->decode(id, shape, in.data(), out, table, DecodeHints{});
}

std::string_view name(CodecId id) {
  const CodecEntry* codec = find_codec(id);
  return codec == nullptr ? "unknown" : codec->name;
}

bool parse(std::string_view text, CodecId* ret_id) {
  for (const CodecEntry& codec : codecs) {
    if (codec.name != text) continue;
    *ret_id = codec.id;
    return true;
  }
  return false;
}

bool preset(uint32_t preset_id, Preset* ret_preset) {
  for (const PresetEntry& entry : presets) {
    if (entry.id != preset_id || !exists(entry.codecs)) continue;
    *ret_preset = entry.codecs;
    return true;
  }
  return false;
}

std::string_view preset_name(uint32_t preset_id) {
  for (const PresetEntry& entry : presets) {
    if (entry.id == preset_id) return entry.name;
  }
  return preset_id == SPECKV_PRESET_DAEMON ? "daemon" : "unknown";
}

bool parse_preset(std::string_view text, uint32_t* ret_preset_id) {
  for (const PresetEntry& entry : presets) {
    if (entry.name != text || !exists(entry.codecs)) continue;
    *ret_preset_id = entry.id;
    return true;
  }
  return false;
}

}  // namespace speckv::codec
