// SPDX-License-Identifier: Apache-2.0
// segments.hpp - segments for the engine's bench: a layout, its pages by the golden model, as they
// are stored and raw. Called by benches only.
#pragma once

#include "chanq_tables.hpp"

namespace speckv::fpga {

struct SegmentLayout {
  codec::PageShape shape;
  uint32_t heads = 1, pages = 1;
  codec::CodecId k = codec::CodecId::raw, v = codec::CodecId::raw, first = codec::CodecId::raw;
  // Where pages are chanq's.
  std::shared_ptr<const codec::ChanTables> tables;
  uint32_t theta = 0;
  bool shared_widths = false;

  bool chanq(bool first_block) const;
  codec::CodecId chanq_id(bool first_block) const;  // Requires: chanq(first_block).
  const codec::ChanTable* table(uint32_t head) const {
    return tables ? &tables->at(0, head) : nullptr;
  }
  uint32_t shape_register() const;
  uint32_t codecs_register() const;
  uint32_t rope_register(bool first_block) const;
};

struct Segment {
  Bytes stored;
  Bytes raw;
  size_t pages = 0;
  codec::Refusal refusal = codec::Refusal::none;  // of the last page, when encoded
};

// heads and pages such that a raw segment stays below a limit in bytes. Pages of chanq are of one
// codec, turned by one of the two thetas.
SegmentLayout any_layout(const std::vector<codec::CodecId>& ids, size_t raw_max,
                         const std::array<Theta, 2>& thetas, codec::testing::Random& random);
// As stored in any bytes: pages of the encoder, and random ones.
Segment any_segment(const SegmentLayout& layout, bool first_block, codec::testing::Random& random);

size_t segment_bytes(const SegmentLayout& layout, bool first_block);
// To encode: raw pages, and what the golden model makes of them up to the first refusal.
Segment any_raw_segment(const SegmentLayout& layout, bool first_block, bool calm,
                        codec::testing::Random& random);

}  // namespace speckv::fpga
