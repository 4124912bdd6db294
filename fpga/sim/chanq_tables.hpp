// SPDX-License-Identifier: Apache-2.0
// chanq_tables.hpp - what chanq knows before a page, for benches: the golden model's tables, and
// the same as the engine's table memory has them.
//
// Called by benches only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "codec/chan_table.hpp"
#include "pages_of.hpp"

namespace speckv::fpga {

// One theta of table memory: how many channels it rotates, and how fast.
struct Theta {
  uint16_t rotated = 64;
  float theta = 1e4f;
};
Theta any_theta(codec::testing::Random& random);

// Tables of `heads` heads of pages of this shape. rope: SPECKV_ROPE_*; weighted: widths as a
// made-up calibration gives them, else equal ones.
std::unique_ptr<codec::ChanTables> make_tables(const codec::PageShape& shape, uint16_t heads,
                                               uint32_t rope, const Theta& theta, bool weighted,
                                               codec::testing::Random& random);

// rope_t of chanq_pkg.
uint32_t rope_word(const codec::PairMap& map, uint32_t which);
// A slot of widths, four bits a channel.
std::array<uint32_t, 32> widths_of(const codec::ChanTable& table, codec::CodecId id);
// A theta's turns, token by token, as LOAD takes them: 512 beats of 16 words.
std::vector<uint32_t> turns_of(const Theta& theta);

}  // namespace speckv::fpga
