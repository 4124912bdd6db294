// SPDX-License-Identifier: Apache-2.0
// key_reach.hpp - what speckvd measures of K while it stores it: how far each pair of channels
// reaches (codec/chan_residual.hpp), summed over 512 tokens from many blocks. Enough for a table of
// bit widths that never saw a query.
//
// One object for a layout in a namespace. Data threads call add() with blocks that they have just
// stored; the control thread takes weights() once there is enough. Never: waits for another thread
// (a block that comes while another is added is not measured), keeps a pointer to a block, believes
// what it reads: a page of zeros, NaN or infinity counts for nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "codec/chan_table.hpp"

namespace speckv {

class KeyReach {
 public:
  static constexpr uint32_t tokens_wanted = 512;

  // Requires: both outlive this; tables are the layout's, of any widths.
  KeyReach(const speckv_layout& layout, const codec::ChanTables& tables);

  // Whether more blocks help. Any thread.
  bool wanted() const { return wanted_.load(std::memory_order_acquire); }
  // So far. Requires: nobody adds.
  uint32_t tokens() const { return tokens_; }
  // Adds the last page of K of every layer and head: one page of many blocks tells more than many
  // pages of one prompt. block: raw, as a put has it in the arena; its owner may change it
  // meanwhile. opens_sequence: its first page may hold the outliers of a sequence's start, and is
  // left out. Returns: true for the one call that made it enough.
  bool add(std::span<const std::byte> block, bool opens_sequence);
  // Requires: !wanted(). A pair that never moved gets the least weight and never none: what was
  // always zero in 512 tokens need not stay so.
  codec::ChanWeights weights() const;

 private:
  bool add_head(uint32_t layer, uint32_t head, const std::byte* page);

  const speckv_layout& layout_;
  const codec::ChanTables& tables_;
  std::mutex adding_;
  std::vector<double> sums_;  // [layer][head][pair]
  uint32_t tokens_ = 0;       // of pages in which some head moved
  std::atomic<bool> wanted_{true};
};

}  // namespace speckv
