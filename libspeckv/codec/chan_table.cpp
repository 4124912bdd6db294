// SPDX-License-Identifier: Apache-2.0
#include "codec/chan_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "codec/chanq.hpp"

namespace speckv::codec {
namespace {

constexpr CodecId codec_at(size_t index) { return CodecId(size_t(CodecId::chanq2_5) + index); }

void fill_rotation(const PairMap& map, size_t tokens, double theta, Rotation& ret_rotation) {
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t pair = 0; pair < map.pairs(); ++pair) {
      const bool turns = pair < map.rotated / 2u;
      const double angle =
          turns ? double(t) * std::pow(theta, -2.0 * double(pair) / map.rotated) : 0.0;
      const auto cosine = int16_t(std::lrint(16384 * std::cos(angle)));
      const auto sine = int16_t(std::lrint(16384 * std::sin(angle)));
      int16_t* turn = &ret_rotation.turn[pair / 8][t][pair % 8 * 2];
      int16_t* quarter = &ret_rotation.quarter[pair / 8][t][pair % 8 * 2];
      turn[0] = quarter[1] = cosine;
      turn[1] = sine;
      quarter[0] = static_cast<int16_t>(-sine);
    }
  }
}

void fill_widths(std::span<const ChanWeight> weights, ChanTable& table) {
  for (size_t i = 0; i < chanq_codecs; ++i) {
    const size_t budget = chanq_budget(codec_at(i), table.tokens, table.map.head_dim);
    share_bits(weights, budget, std::span(table.widths[i]).first(table.map.pairs()));
  }
}

PairMap pair_map(const speckv_layout& layout) {
  PairMap map;
  map.head_dim = static_cast<uint16_t>(layout.head_dim);
  map.half_split = layout.rope == SPECKV_ROPE_HALF;
  const uint32_t turned = layout.rope_dims == 0 ? layout.head_dim : layout.rope_dims;
  map.rotated = static_cast<uint16_t>(layout.rope == SPECKV_ROPE_NONE ? 0 : turned);
  return map;
}

// Returns: what is wrong with the layout or the weights, empty when nothing is.
std::string complaint(const speckv_layout& layout, const ChanWeights* weights) {
  const PageShape shape{static_cast<uint16_t>(layout.page_tokens),
                        static_cast<uint16_t>(layout.head_dim), static_cast<uint8_t>(layout.dtype),
                        Kind::k};
  if (layout.head_dim > chanq_head_dim_max || encoded_bytes(CodecId::chanq3_5, shape) == 0) {
    return "chanq takes 16-bit floats, head_dim a multiple of 16 up to 256, pages of 16, 32 or 64 "
           "tokens; this layout has head_dim " +
           std::to_string(layout.head_dim) + ", " + std::to_string(layout.page_tokens) + " tokens";
  }
  if (layout.layers == 0 || layout.layers > SPECKV_LAYERS_MAX || layout.kv_heads == 0 ||
      layout.kv_heads > SPECKV_HEADS_MAX) {
    return "layout has " + std::to_string(layout.layers) + " layers of " +
           std::to_string(layout.kv_heads) + " kv heads";
  }
  if (layout.rope > SPECKV_ROPE_HALF || layout.rope_dims > layout.head_dim ||
      layout.rope_dims % 2 != 0) {
    return "rope_dims must be even and at most head_dim, and rope a known pairing";
  }
  if (weights == nullptr) return {};
  if (std::memcmp(weights->weights_digest, layout.weights_digest, SPECKV_DIGEST_BYTES) != 0) {
    return "the table was measured on other weights (its digest differs from the layout's); "
           "calibrate this model";
  }
  if (weights->layers != layout.layers || weights->kv_heads != layout.kv_heads ||
      weights->pairs != layout.head_dim / 2) {
    return "the table has " + std::to_string(weights->layers) + " layers, " +
           std::to_string(weights->kv_heads) + " kv heads, head_dim " +
           std::to_string(2 * weights->pairs) + "; the layout differs";
  }
  return {};
}

}  // namespace

void share_bits(std::span<const ChanWeight> weights, size_t budget, std::span<uint8_t> ret_widths) {
  const size_t pairs = ret_widths.size();
  if (weights.empty()) {
    // floor((i + 1) * budget / pairs) - floor(i * budget / pairs), carried along
    size_t rest = 0;
    for (size_t i = 0; i < pairs; ++i) {
      rest += budget % pairs;
      ret_widths[i] = static_cast<uint8_t>(budget / pairs + (rest >= pairs ? 1 : 0));
      if (rest >= pairs) rest -= pairs;
    }
    return;
  }
  std::fill(ret_widths.begin(), ret_widths.end(), uint8_t{0});
  for (size_t i = 0; i < pairs && budget > 0; ++i) {
    if (weights[i] != chan_weight_dead) ret_widths[i] = 1, --budget;
  }
  for (; budget > 0; --budget) {
    size_t best = pairs;
    int best_gain = 0;
    for (size_t i = 0; i < pairs; ++i) {
      if (weights[i] == chan_weight_dead || ret_widths[i] == chanq_width_max) continue;
      const int gain = weights[i] - 512 * ret_widths[i];
      if (best == pairs || gain > best_gain) best = i, best_gain = gain;
    }
    if (best == pairs) return;  // every live pair is full; the rest of the payload stays zero
    ++ret_widths[best];
  }
}

ChanTable chanq_plain_table(CodecId id, const PageShape& shape) {
  ChanTable table;
  table.map.head_dim = shape.head_dim;
  table.tokens = shape.tokens;
  share_bits({}, chanq_budget(id, shape.tokens, shape.head_dim),
             std::span(table.widths[chanq_index(id)]).first(table.map.pairs()));
  return table;
}

bool chanq_fits(const ChanTable& table, const PageShape& shape) {
  return table.map.head_dim == shape.head_dim && table.tokens == shape.tokens;
}

std::unique_ptr<ChanTables> ChanTables::make(const speckv_layout& layout,
                                             const ChanWeights* weights, std::string* ret_error) {
  if (std::string wrong = complaint(layout, weights); !wrong.empty()) {
    *ret_error = std::move(wrong);
    return nullptr;
  }
  auto made = std::make_unique<ChanTables>();
  made->heads_ = layout.kv_heads;
  ChanTable table;
  table.map = pair_map(layout);
  table.tokens = static_cast<uint16_t>(layout.page_tokens);
  fill_widths({}, table);
  std::map<float, const Rotation*> by_theta;
  for (uint32_t layer = 0; layer < layout.layers; ++layer) {
    const float own = layout.rope_theta[layer];
    const float theta = own > 0 ? own : layout.rope_theta[0];
    const bool turns = table.map.rotated > 0 && theta > 0;
    if (turns && by_theta[theta] == nullptr) {
      made->rotations_.push_back(std::make_unique<Rotation>());
      fill_rotation(table.map, table.tokens, theta, *made->rotations_.back());
      by_theta[theta] = made->rotations_.back().get();
    }
    table.rotation = turns ? by_theta[theta] : nullptr;
    for (uint32_t head = 0; head < layout.kv_heads; ++head) {
      if (weights != nullptr) {
        const size_t pairs = table.map.pairs();
        const size_t at = (size_t{layer} * layout.kv_heads + head) * pairs;
        fill_widths(std::span(weights->weight).subspan(at, pairs), table);
      }
      made->tables_.push_back(table);
    }
  }
  return made;
}

}  // namespace speckv::codec
