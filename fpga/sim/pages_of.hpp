// SPDX-License-Identifier: Apache-2.0
// pages_of.hpp - pages for benches, raw and encoded, by the golden model: every shape and both
// dtypes the hardware takes, real pages, every texture, random bytes.
//
// Called by benches only. Nothing here comes from a file of vectors but the real pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "codec/chan_table.hpp"
#include "codec/codec.hpp"
#include "pages.hpp"

namespace speckv::fpga {

using Bytes = std::vector<std::byte>;
using Values = std::vector<uint16_t>;

// The configuration word of a page, as page_cfg_t of speckv_pkg has it.
uint32_t page_cfg(codec::CodecId id, const codec::PageShape& shape);

codec::PageShape any_shape(codec::testing::Random& random);

// A raw page of this shape: real (32 x 64 fp16 only), or of some texture; calm: of one that no
// encoder refuses.
Values any_page(const codec::PageShape& shape, codec::testing::Random& random, bool calm = false);

// Encodes by the golden model; chanq takes a table. Returns: nothing when the page is refused;
// ret_refusal says why.
std::optional<Bytes> golden_encode(codec::CodecId id, const codec::PageShape& shape,
                                   const Values& page, codec::Refusal* ret_refusal = nullptr,
                                   const codec::ChanTable* table = nullptr);
Values golden_decode(codec::CodecId id, const codec::PageShape& shape, const Bytes& bytes,
                     const codec::ChanTable* table = nullptr);

// Bytes for a decoder: a page as the encoder writes it, or anything at all.
Bytes any_encoded(codec::CodecId id, const codec::PageShape& shape, codec::testing::Random& random,
                  const codec::ChanTable* table = nullptr);

// Stored bytes of a page, a multiple of 32.
size_t stored_bytes(codec::CodecId id, const codec::PageShape& shape);

// The checksum of docs/codec.md, section 8.
uint64_t golden_checksum(const Bytes& bytes);

}  // namespace speckv::fpga
