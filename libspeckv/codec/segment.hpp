// SPDX-License-Identifier: Apache-2.0
// segment.hpp - one segment: K and V of one layer of one block, as a sequence of encoded pages
// under one checksum.
//
// Stored order: K then V; for each, kv head by kv head; for each, page by page along the tokens.
// Every page's payload is padded with zeros to a multiple of 32 bytes. In the block that holds
// position 0 of its sequence, the first page of every (kind, head) is stored by preset.first, all
// others by preset.k or preset.v. Who calls it: the daemon (encode_segment), the library's reader
// (decode_segment), tools and tests. Never allocates, never keeps a pointer. Threading: reentrant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/codec.hpp"

namespace speckv::codec {

// Value (token t, head h, channel c) of K or V: base + t*token_stride + h*head_stride +
// c*channel_stride, in bytes.
struct ConstPlane {
  const std::byte* base;
  ptrdiff_t token_stride;
  ptrdiff_t head_stride;
  ptrdiff_t channel_stride;
};
struct Plane {
  std::byte* base;
  ptrdiff_t token_stride;
  ptrdiff_t head_stride;
  ptrdiff_t channel_stride;
};
struct SegmentView {
  ConstPlane k;
  ConstPlane v;
};
struct SegmentOut {
  Plane k;
  Plane v;
};

// How a segment is stored, worked out once: payload bytes of a page by kind, of a first page, and
// the whole.
struct SegmentPlan {
  Preset preset;
  bool first;  // the block holds position 0 of its sequence
  uint32_t heads;
  uint32_t pages;         // of one (kind, head)
  PageShape shape;        // .kind changes from K to V
  size_t page_bytes[2];   // by Kind
  size_t first_bytes[2];  // of page 0; equal to page_bytes unless `first`
  size_t bytes;           // of the segment
};

// Returns: false when the layout is malformed or a codec of the preset does not take its pages.
bool plan_segment(const speckv_layout& layout, const Preset& preset, bool first_block,
                  SegmentPlan* ret_plan);

// Returns: stored bytes of one segment, 0 where plan_segment() fails. The same for every layer and
// every data.
size_t segment_bytes(const speckv_layout& layout, const Preset& preset, bool first_block);

// The preset of a layout as this build can store it: codecs that do not take the layout's pages are
// replaced by q8 (a lossless one by raw), and 8-bit floats are always raw. Returns: false when
// preset_id is unknown (SPECKV_PRESET_DAEMON is) or the layout is malformed.
bool preset_for(const speckv_layout& layout, uint32_t preset_id, Preset* ret_preset);

// Returns: the preset by whose name that is stored: preset_id itself, or where its codecs do not
// take the layout's pages SPECKV_PRESET_Q8 (for a lossless one, and for 8-bit floats,
// SPECKV_PRESET_EXACT). Whoever registers a layout, and whoever looks at a block, is told this one.
uint32_t stored_preset(const speckv_layout& layout, uint32_t preset_id);

// changing: somebody may write the input meanwhile. A codec that this could lead astray gets a copy
// of the page on the stack; what comes out is some page, whole and with its right checksum.
// steady: encoded where it lies.
enum class Input : uint8_t { steady, changing };

// Encodes one segment and its checksum. `tables`: ChanTables::data() of the layout, or nullptr.
// A refused page refuses the segment: out is then undefined and the caller stores it with
// Preset{raw, raw, raw}. Requires: out.size() >= segment_bytes().
[[nodiscard]] Refusal encode_segment(const speckv_layout& layout, const Preset& preset,
                                     uint32_t layer, bool first_block, const SegmentView& in,
                                     std::span<std::byte> out, uint64_t* ret_checksum,
                                     const ChanTable* tables = nullptr,
                                     Input input = Input::steady);

// What somebody else encoded of `in` by these codecs: whether each page keeps what a bounded preset
// promises. Total: any stored bytes have an answer. Requires: stored.size() >= segment_bytes().
[[nodiscard]] bool keeps_bound(const speckv_layout& layout, const Preset& preset, uint32_t layer,
                               bool first_block, const SegmentView& in,
                               std::span<const std::byte> stored,
                               const ChanTable* tables = nullptr);

// Decodes one segment. Returns: the checksum of the stored bytes as they were read; the caller
// compares it with the header's. Total: any bytes decode to something. Bytes fewer than
// segment_bytes(): nothing is written, returns 0. stream: non-temporal stores where the output
// allows it, for destinations that outgrow the cache.
uint64_t decode_segment(const speckv_layout& layout, const Preset& preset, uint32_t layer,
                        bool first_block, std::span<const std::byte> in, const SegmentOut& out,
                        bool stream, const ChanTable* tables = nullptr);

// The same with a plan made before, for who reads many segments of one layout. layer_tables: those
// of the segment's layer, one a kv head, or nullptr.
uint64_t decode_planned(const SegmentPlan& plan, std::span<const std::byte> in,
                        const SegmentOut& out, bool stream, const ChanTable* layer_tables);

}  // namespace speckv::codec
