// SPDX-License-Identifier: Apache-2.0
#include "segments.hpp"

#include <cstring>

#include "codec/chanq.hpp"
#include "hw/speckv_regs.h"

namespace speckv::fpga {

using codec::CodecId;
using codec::testing::Random;

uint32_t SegmentLayout::shape_register() const {
  const uint32_t cfg = page_cfg(CodecId::raw, shape);
  return (cfg >> 2 & 3) << SPECKV_REG_LAYOUTS_SHAPE_TOKENS_SHIFT |
         (cfg & 3) << SPECKV_REG_LAYOUTS_SHAPE_BLOCKS_SHIFT |
         (cfg >> 4 & 1) << SPECKV_REG_LAYOUTS_SHAPE_BF16_SHIFT |
         heads << SPECKV_REG_LAYOUTS_SHAPE_HEADS_SHIFT |
         pages << SPECKV_REG_LAYOUTS_SHAPE_PAGES_SHIFT | SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK;
}

uint32_t SegmentLayout::codecs_register() const {
  return uint32_t(k) << SPECKV_REG_LAYOUTS_CODECS_K_SHIFT |
         uint32_t(v) << SPECKV_REG_LAYOUTS_CODECS_V_SHIFT |
         uint32_t(first) << SPECKV_REG_LAYOUTS_CODECS_FIRST_SHIFT;
}

bool SegmentLayout::chanq(bool first_block) const {
  return codec::is_chanq(k) || codec::is_chanq(v) || (first_block && codec::is_chanq(first));
}
CodecId SegmentLayout::chanq_id(bool first_block) const {
  if (codec::is_chanq(k)) return k;
  return codec::is_chanq(v) || !first_block ? v : first;
}

uint32_t SegmentLayout::rope_register(bool first_block) const {
  if (!chanq(first_block)) return 0;
  const codec::PairMap& map = table(0)->map;
  return uint32_t(map.half_split) << SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_SHIFT |
         theta << SPECKV_REG_LAYOUTS_ROPE_THETA_SHIFT |
         uint32_t(shared_widths) << SPECKV_REG_LAYOUTS_ROPE_SHARED_WIDTHS_SHIFT | map.rotated;
}

SegmentLayout any_layout(const std::vector<CodecId>& ids, size_t raw_max,
                         const std::array<Theta, 2>& thetas, Random& random) {
  SegmentLayout layout;
  layout.shape = any_shape(random);
  const auto pages_max = uint32_t(raw_max / layout.shape.raw_bytes() / 2);
  layout.heads = 1 + uint32_t(random() % 3);
  if (layout.heads > pages_max) layout.heads = 1;
  layout.pages = 1 + uint32_t(random() % std::max(1u, std::min(4u, pages_max / layout.heads)));
  layout.k = ids[random() % ids.size()];
  layout.v = ids[random() % ids.size()];
  layout.first = ids[random() % ids.size()];
  const CodecId one = layout.chanq(true) ? layout.chanq_id(true) : layout.k;
  for (CodecId* id : {&layout.k, &layout.v, &layout.first})
    if (codec::is_chanq(*id)) *id = one;
  layout.theta = random() % 2;
  const Theta& theta = thetas[layout.theta];
  uint32_t rope = uint32_t(random() % 3);
  if (theta.rotated > layout.shape.head_dim) rope = SPECKV_ROPE_NONE;
  const bool weighted = random() % 3 != 0;
  layout.shared_widths = !weighted && random() % 2 == 0;
  layout.tables = make_tables(layout.shape, uint16_t(layout.heads), rope, theta, weighted, random);
  return layout;
}

Segment any_segment(const SegmentLayout& layout, bool first_block, Random& random) {
  Segment segment;
  for (const CodecId usual : {layout.k, layout.v}) {
    for (uint32_t i = 0; i < layout.heads * layout.pages; ++i, ++segment.pages) {
      const CodecId id = first_block && i % layout.pages == 0 ? layout.first : usual;
      const codec::ChanTable* table = layout.table(i / layout.pages);
      const Bytes stored = any_encoded(id, layout.shape, random, table);
      const Values raw = golden_decode(id, layout.shape, stored, table);
      segment.stored.insert(segment.stored.end(), stored.begin(), stored.end());
      const auto* bytes = reinterpret_cast<const std::byte*>(raw.data());
      segment.raw.insert(segment.raw.end(), bytes, bytes + 2 * raw.size());
    }
  }
  return segment;
}

Segment any_raw_segment(const SegmentLayout& layout, bool first_block, bool calm, Random& random) {
  Segment segment;
  for (const CodecId usual : {layout.k, layout.v}) {
    for (uint32_t i = 0; i < layout.heads * layout.pages; ++i) {
      const CodecId id = first_block && i % layout.pages == 0 ? layout.first : usual;
      const Values raw = any_page(layout.shape, random, calm);
      const auto* bytes = reinterpret_cast<const std::byte*>(raw.data());
      segment.raw.insert(segment.raw.end(), bytes, bytes + 2 * raw.size());
      if (segment.refusal != codec::Refusal::none) continue;
      ++segment.pages;
      const codec::ChanTable* table = layout.table(i / layout.pages);
      if (const auto stored = golden_encode(id, layout.shape, raw, &segment.refusal, table))
        segment.stored.insert(segment.stored.end(), stored->begin(), stored->end());
    }
  }
  return segment;
}

size_t segment_bytes(const SegmentLayout& layout, bool first_block) {
  size_t bytes = 0;
  for (const CodecId usual : {layout.k, layout.v}) {
    for (uint32_t i = 0; i < layout.pages; ++i)
      bytes +=
          layout.heads * stored_bytes(first_block && i == 0 ? layout.first : usual, layout.shape);
  }
  return bytes;
}

}  // namespace speckv::fpga
