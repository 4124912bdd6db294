// SPDX-License-Identifier: Apache-2.0
// key_reach.cpp - see key_reach.hpp.
#include "widths/key_reach.hpp"

#include <cstring>
#include <numeric>

#include "codec/chan_residual.hpp"
#include "shm/layout_math.hpp"

namespace speckv {

KeyReach::KeyReach(const speckv_layout& layout, const codec::ChanTables& tables)
    : layout_(layout),
      tables_(tables),
      sums_(size_t{layout.layers} * layout.kv_heads * (layout.head_dim / 2)) {}

bool KeyReach::add_head(uint32_t layer, uint32_t head, const std::byte* page) {
  const size_t pairs = layout_.head_dim / 2;
  const std::span sums =
      std::span(sums_).subspan((size_t{layer} * layout_.kv_heads + head) * pairs, pairs);
  const double before = std::accumulate(sums.begin(), sums.end(), 0.0);
  const codec::ConstView view{page, ptrdiff_t(2 * layout_.head_dim), 2};
  return codec::add_chan_residual(tables_.at(layer, head), uint8_t(layout_.dtype), view, sums) &&
         std::accumulate(sums.begin(), sums.end(), 0.0) > before;
}

bool KeyReach::add(std::span<const std::byte> block, bool opens_sequence) {
  if (opens_sequence && layout_.block_tokens == layout_.page_tokens) return false;
  const std::unique_lock lock(adding_, std::try_to_lock);
  if (!lock || !wanted()) return false;
  const size_t head_bytes = size_t{layout_.block_tokens} * layout_.head_dim * 2;
  const size_t last_page = head_bytes - size_t{layout_.page_tokens} * layout_.head_dim * 2;
  // A head whose page does not count has fewer pages than the others, which is no harm: widths are
  // shared within a head. One that never moves must not keep every put measuring for good.
  bool any = false;
  for (uint32_t layer = 0; layer < layout_.layers; layer++)
    for (uint32_t head = 0; head < layout_.kv_heads; head++)
      any |= add_head(
          layer, head,
          block.data() + layer * shm::raw_segment_bytes(layout_) + head * head_bytes + last_page);
  if (any) tokens_ += layout_.page_tokens;
  if (tokens_ < tokens_wanted) return false;
  wanted_.store(false, std::memory_order_release);
  return true;
}

codec::ChanWeights KeyReach::weights() const {
  codec::ChanWeights weights;
  std::memcpy(weights.weights_digest, layout_.weights_digest, SPECKV_DIGEST_BYTES);
  weights.layers = uint16_t(layout_.layers);
  weights.kv_heads = uint16_t(layout_.kv_heads);
  weights.pairs = uint16_t(layout_.head_dim / 2);
  for (double sum : sums_) {
    const codec::ChanWeight weight = codec::chan_weight(sum);
    weights.weight.push_back(weight == codec::chan_weight_dead ? codec::chan_weight_dead + 1
                                                               : weight);
  }
  return weights;
}

}  // namespace speckv
