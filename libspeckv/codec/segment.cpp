// SPDX-License-Identifier: Apache-2.0
#include "codec/segment.hpp"

#include <cstring>

#include "codec/chan_table.hpp"
#include "codec/checksum.hpp"
#include "codec/q8.hpp"
#include "codec/raw.hpp"
#include "codec/registry.hpp"
#include "codec/stream.hpp"
#include "codec/strided.hpp"
#include "codec/token_bound.hpp"

namespace speckv::codec {
namespace {

constexpr Kind kinds[] = {Kind::k, Kind::v};

CodecId codec_of(const Preset& preset, Kind kind, bool first) {
  return first ? preset.first : kind == Kind::k ? preset.k : preset.v;
}

size_t payload_bytes(CodecId id, PageShape shape, Kind kind) {
  shape.kind = kind;
  return align_payload(encoded_bytes(id, shape));
}

bool well_formed(const speckv_layout& layout) {
  return (layout.page_tokens == 16 || layout.page_tokens == 32 || layout.page_tokens == 64) &&
         layout.block_tokens >= layout.page_tokens &&
         layout.block_tokens <= SPECKV_BLOCK_TOKENS_MAX &&
         layout.block_tokens % layout.page_tokens == 0 && layout.kv_heads >= 1 &&
         layout.kv_heads <= SPECKV_HEADS_MAX && layout.head_dim >= 1 &&
         layout.head_dim <= SPECKV_HEAD_DIM_MAX;
}

PageShape page_shape(const speckv_layout& layout, Kind kind) {
  return {static_cast<uint16_t>(layout.page_tokens), static_cast<uint16_t>(layout.head_dim),
          static_cast<uint8_t>(layout.dtype), kind};
}

// A stretch of one kind's pages that one codec stores: all heads' pages from..to of head, or of one
// head.
struct Walk {
  const SegmentPlan& plan;
  Kind kind;
  uint32_t head;
  uint32_t page;
  bool first() const { return plan.first && page == 0; }
  size_t bytes() const {
    return page == 0 ? plan.first_bytes[size_t(kind)] : plan.page_bytes[size_t(kind)];
  }
  CodecId codec() const { return codec_of(plan.preset, kind, first()); }
};

// Page (head, page) of a plane.
template <typename PageView, typename AnyPlane>
PageView page_view(const SegmentPlan& plan, const AnyPlane& plane, uint32_t head, uint32_t page) {
  return {plane.base + ptrdiff_t(head) * plane.head_stride +
              ptrdiff_t(page) * plan.shape.tokens * plane.token_stride,
          plane.token_stride, plane.channel_stride};
}

// How many pages from `at` on are raw and can move as rows in one call: the rest of the head, and
// of all heads where the heads' rows follow each other.
template <typename AnyPlane>
uint32_t raw_run(const Walk& at, const AnyPlane& plane) {
  const SegmentPlan& plan = at.plan;
  const size_t row = value_bytes(plan.shape.dtype) * plan.shape.head_dim;
  if (at.codec() != CodecId::raw || row % 32 != 0 ||
      plane.channel_stride != ptrdiff_t(value_bytes(plan.shape.dtype))) {
    return 0;
  }
  const CodecId rest = codec_of(plan.preset, at.kind, false);
  if (rest != CodecId::raw) return 1;
  uint32_t pages = plan.pages - at.page;
  const bool all_raw = !plan.first || plan.preset.first == CodecId::raw;
  if (all_raw &&
      plane.head_stride == ptrdiff_t(plan.pages) * plan.shape.tokens * plane.token_stride) {
    pages += (plan.heads - 1 - at.head) * plan.pages;
  }
  return pages;
}

// Rows of a run of raw pages; one long row where they touch.
struct RowSpan {
  size_t row_bytes;
  size_t rows;
};
RowSpan row_span(const SegmentPlan& plan, uint32_t pages, ptrdiff_t token_stride) {
  const size_t row = value_bytes(plan.shape.dtype) * plan.shape.head_dim;
  const size_t rows = size_t{pages} * plan.shape.tokens;
  return token_stride == ptrdiff_t(row) ? RowSpan{row * rows, 1} : RowSpan{row, rows};
}

void step(Walk& at, uint32_t pages) {
  const uint32_t next = at.page + pages;
  at.head += next / at.plan.pages;
  at.page = next % at.plan.pages;
}

// Distance from page `at` to the next of its kind; what an encoder may prefetch. The last page says
// 0.
ptrdiff_t next_page(const Walk& at, const ConstPlane& plane) {
  if (at.page + 1 < at.plan.pages) return ptrdiff_t{at.plan.shape.tokens} * plane.token_stride;
  if (at.head + 1 == at.plan.heads) return 0;
  return plane.head_stride - ptrdiff_t(at.page) * at.plan.shape.tokens * plane.token_stride;
}

// Encoded pages are made here while they fit, then moved to the segment past the caches, summed on
// the way. Larger ones (head_dim near SPECKV_HEAD_DIM_MAX) are made in place.
constexpr size_t scratch_bytes = 20 << 10;

// A page's values as they were when they were read, each once.
struct PageCopy {
  alignas(64) std::byte bytes[size_t{2} * 64 * SPECKV_HEAD_DIM_MAX];
};

struct Encoding {
  const SegmentPlan& plan;
  const ConstPlane& in;
  const ChanTable* tables;
  Checksum& sum;
  PageCopy* copy;  // nullptr: the input is steady
};

// Encodes the page at `at` into made.
Refusal encode_page(const Encoding& encoding, const Walk& at, const PageShape& shape,
                    std::byte* made) {
  const CodecEntry* codec = find_codec(at.codec());
  const ChanTable* table = encoding.tables == nullptr ? nullptr : encoding.tables + at.head;
  ConstView view = page_view<ConstView>(encoding.plan, encoding.in, at.head, at.page);
  ptrdiff_t next = next_page(at, encoding.in);
  if (encoding.copy != nullptr && !codec->takes_changing) {
    const auto value = ptrdiff_t(value_bytes(shape.dtype));
    gather(shape, view, 0, shape.values(), encoding.copy->bytes);
    // The encoder fetches the next page's own bytes while it works on the copy of this one.
    if (next != 0) next += view.base - encoding.copy->bytes;
    view = {encoding.copy->bytes, value * shape.head_dim, value};
  }
  const Refusal refusal = codec->encode(at.codec(), shape, view, made, table, {next});
  if (refusal != Refusal::none || !encoding.plan.preset.bounded) return refusal;
  if (!shares_between_tokens(at.codec(), shape)) return Refusal::none;
  const std::span<const std::byte> page(made, codec->bytes(at.codec(), shape));
  return keeps_token_bound(at.codec(), shape, view, page, table) ? Refusal::none
                                                                 : Refusal::token_bound;
}

Refusal encode_kind(const Encoding& encoding, Kind kind, std::byte*& out) {
  alignas(64) std::byte scratch[scratch_bytes];
  PageShape shape = encoding.plan.shape;
  shape.kind = kind;
  for (Walk at{encoding.plan, kind, 0, 0}; at.head < encoding.plan.heads;) {
    if (const uint32_t run = raw_run(at, encoding.in); run > 0) {
      const ConstView view = page_view<ConstView>(encoding.plan, encoding.in, at.head, at.page);
      const RowSpan span = row_span(encoding.plan, run, view.token_stride);
      checksum_rows(encoding.sum, {out, ptrdiff_t(span.row_bytes), view.base, view.token_stride,
                                   span.row_bytes, span.rows, true});
      out += span.row_bytes * span.rows;
      step(at, run);
      continue;
    }
    const size_t used = find_codec(at.codec())->bytes(at.codec(), shape), bytes = at.bytes();
    std::byte* made = bytes <= scratch_bytes ? scratch : out;
    const Refusal refusal = encode_page(encoding, at, shape, made);
    if (refusal != Refusal::none) return refusal;
    std::memset(made + used, 0, bytes - used);
    if (made == out) checksum_update(encoding.sum, out, bytes);
    else checksum_rows(encoding.sum, {out, 0, made, 0, bytes, 1, true});
    out += bytes;
    step(at, 1);
  }
  return Refusal::none;
}

// Returns: as encode_segment().
Refusal encode_kinds(const SegmentPlan& plan, const SegmentView& in, const ChanTable* tables,
                     PageCopy* copy, std::byte* out, uint64_t* ret_checksum) {
  Checksum sum;
  Refusal refusal = Refusal::none;
  for (const Kind kind : kinds) {
    const ConstPlane& plane = kind == Kind::k ? in.k : in.v;
    refusal = encode_kind({plan, plane, tables, sum, copy}, kind, out);
    if (refusal != Refusal::none) break;
  }
  stream_fence();
  if (refusal == Refusal::none) *ret_checksum = checksum_final(sum);
  return refusal;
}

void decode_kind(const SegmentPlan& plan, Kind kind, const Plane& out, const ChanTable* tables,
                 bool stream, Checksum& sum, const std::byte*& in) {
  PageShape shape = plan.shape;
  shape.kind = kind;
  for (Walk at{plan, kind, 0, 0}; at.head < plan.heads;) {
    const View view = page_view<View>(plan, out, at.head, at.page);
    if (const uint32_t run = raw_run(at, out); run > 0) {
      const RowSpan span = row_span(plan, run, view.token_stride);
      checksum_rows(sum, {view.base, view.token_stride, in, ptrdiff_t(span.row_bytes),
                          span.row_bytes, span.rows, stream});
      in += span.row_bytes * span.rows;
      step(at, run);
      continue;
    }
    const CodecEntry* codec = find_codec(at.codec());
    const ChanTable* table = tables == nullptr ? nullptr : tables + at.head;
    checksum_update(sum, in, at.bytes(), codec->slow);
    codec->decode(at.codec(), shape, in, view, table, {stream});
    in += at.bytes();
    step(at, 1);
  }
}

const ChanTable* layer_tables(const speckv_layout& layout, uint32_t layer,
                              const ChanTable* tables) {
  return tables == nullptr ? nullptr : tables + size_t{layer} * layout.kv_heads;
}

}  // namespace

bool plan_segment(const speckv_layout& layout, const Preset& preset, bool first_block,
                  SegmentPlan* ret_plan) {
  if (!well_formed(layout)) return false;
  SegmentPlan plan{};
  plan.preset = preset;
  plan.first = first_block;
  plan.heads = layout.kv_heads;
  plan.pages = layout.block_tokens / layout.page_tokens;
  plan.shape = page_shape(layout, Kind::k);
  for (const Kind kind : kinds) {
    const size_t i = static_cast<size_t>(kind);
    plan.page_bytes[i] = payload_bytes(codec_of(preset, kind, false), plan.shape, kind);
    plan.first_bytes[i] = payload_bytes(codec_of(preset, kind, first_block), plan.shape, kind);
    if (plan.page_bytes[i] == 0 || plan.first_bytes[i] == 0) return false;
    plan.bytes += plan.heads * (plan.first_bytes[i] + (plan.pages - 1) * plan.page_bytes[i]);
  }
  *ret_plan = plan;
  return true;
}

size_t segment_bytes(const speckv_layout& layout, const Preset& preset, bool first_block) {
  SegmentPlan plan;
  return plan_segment(layout, preset, first_block, &plan) ? plan.bytes : 0;
}

bool preset_for(const speckv_layout& layout, uint32_t preset_id, Preset* ret_preset) {
  Preset codecs;
  if (!well_formed(layout) || !preset(preset_id, &codecs)) return false;
  if (layout.dtype == SPECKV_DTYPE_F8) codecs = {CodecId::raw, CodecId::raw, CodecId::raw};
  const auto taken = [&](CodecId id, Kind kind) {
    return encoded_bytes(id, page_shape(layout, kind)) != 0;
  };
  const auto settle = [&](CodecId& id, Kind kind) {
    if (!taken(id, kind)) id = id == CodecId::xpack ? CodecId::raw : CodecId::q8;
  };
  settle(codecs.k, Kind::k);
  settle(codecs.v, Kind::v);
  settle(codecs.first, Kind::k);
  if (!taken(codecs.k, Kind::k)) return false;  // no such dtype
  *ret_preset = codecs;
  return true;
}

uint32_t stored_preset(const speckv_layout& layout, uint32_t preset_id) {
  Preset asked, taken;
  if (!preset(preset_id, &asked) || !preset_for(layout, preset_id, &taken)) return preset_id;
  if (taken.k == asked.k && taken.v == asked.v) return preset_id;
  return taken.k == CodecId::raw ? SPECKV_PRESET_EXACT : SPECKV_PRESET_Q8;
}

Refusal encode_segment(const speckv_layout& layout, const Preset& preset, uint32_t layer,
                       bool first_block, const SegmentView& in, std::span<std::byte> out,
                       uint64_t* ret_checksum, const ChanTable* tables, Input input) {
  SegmentPlan plan;
  if (!plan_segment(layout, preset, first_block, &plan) || out.size() < plan.bytes)
    return Refusal::unsupported_shape;
  const ChanTable* own = layer_tables(layout, layer, tables);
  if (input == Input::steady) return encode_kinds(plan, in, own, nullptr, out.data(), ret_checksum);
  PageCopy copy;
  return encode_kinds(plan, in, own, &copy, out.data(), ret_checksum);
}

bool keeps_bound(const speckv_layout& layout, const Preset& preset, uint32_t layer,
                 bool first_block, const SegmentView& in, std::span<const std::byte> stored,
                 const ChanTable* tables) {
  SegmentPlan plan;
  if (!plan_segment(layout, preset, first_block, &plan) || stored.size() < plan.bytes) return false;
  const ChanTable* own = layer_tables(layout, layer, tables);
  const std::byte* from = stored.data();
  for (const Kind kind : kinds) {
    PageShape shape = plan.shape;
    shape.kind = kind;
    const ConstPlane& plane = kind == Kind::k ? in.k : in.v;
    for (Walk at{plan, kind, 0, 0}; at.head < plan.heads; step(at, 1)) {
      const std::span<const std::byte> page(from, find_codec(at.codec())->bytes(at.codec(), shape));
      from += at.bytes();
      if (shares_between_tokens(at.codec(), shape) &&
          !keeps_token_bound(at.codec(), shape, page_view<ConstView>(plan, plane, at.head, at.page),
                             page, own == nullptr ? nullptr : own + at.head))
        return false;
    }
  }
  return true;
}

uint64_t decode_segment(const speckv_layout& layout, const Preset& preset, uint32_t layer,
                        bool first_block, std::span<const std::byte> in, const SegmentOut& out,
                        bool stream, const ChanTable* tables) {
  SegmentPlan plan;
  if (!plan_segment(layout, preset, first_block, &plan)) return 0;
  return decode_planned(plan, in, out, stream, layer_tables(layout, layer, tables));
}

uint64_t decode_planned(const SegmentPlan& plan, std::span<const std::byte> in,
                        const SegmentOut& out, bool stream, const ChanTable* own) {
  if (in.size() < plan.bytes) return 0;
  Checksum sum;
  const std::byte* from = in.data();
  for (const Kind kind : kinds) {
    const Plane& plane = kind == Kind::k ? out.k : out.v;
    decode_kind(plan, kind, plane, own, stream, sum, from);
  }
  // At once, not at the end of a batch: what is read next comes faster once these stores are out.
  if (stream) stream_fence();
  return checksum_final(sum);
}

}  // namespace speckv::codec
