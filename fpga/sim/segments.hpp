// SPDX-License-Identifier: Apache-2.0
// segments.hpp - segments for the engine's bench: a layout, its pages by the golden model, as they
// are stored and raw. Called by benches only.
#pragma once

#include "pages_of.hpp"

namespace speckv::fpga {

struct SegmentLayout {
  codec::PageShape shape;
  uint32_t heads = 1, pages = 1;
  codec::CodecId k = codec::CodecId::raw, v = codec::CodecId::raw, first = codec::CodecId::raw;

  uint32_t shape_register() const;
  uint32_t codecs_register() const;
};

struct Segment {
  Bytes stored;
  Bytes raw;
  size_t pages = 0;
  codec::Refusal refusal = codec::Refusal::none;  // of the last page, when encoded
};

// heads and pages such that a raw segment stays below a limit in bytes.
SegmentLayout any_layout(const std::vector<codec::CodecId>& ids, size_t raw_max,
                         codec::testing::Random& random);
// As stored in any bytes: pages of the encoder, and random ones.
Segment any_segment(const SegmentLayout& layout, bool first_block, codec::testing::Random& random);

size_t segment_bytes(const SegmentLayout& layout, bool first_block);
// To encode: raw pages, and what the golden model makes of them up to the first refusal.
Segment any_raw_segment(const SegmentLayout& layout, bool first_block, bool calm,
                        codec::testing::Random& random);

}  // namespace speckv::fpga
