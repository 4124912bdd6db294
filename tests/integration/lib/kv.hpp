// SPDX-License-Identifier: Apache-2.0
// kv.hpp - KV of a made-up model whose every value follows from the block's key, in any arrangement
// of memory.
//
// So that a test can tell a whole block from a torn, swapped or foreign one. Also a session
// fixture's small helpers.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "shm/key.hpp"
#include "speckv/speckv.h"

namespace speckv::test {

constexpr uint64_t second_ns = 1'000'000'000;

struct KeyBytes {
  uint8_t bytes[SPECKV_KEY_BYTES];
};

inline KeyBytes key_of(uint64_t number) {
  KeyBytes key;
  for (int i = 0; i < 4; i++) {
    const uint64_t word = mix64(number * 4 + uint64_t(i) + 1);
    std::memcpy(key.bytes + 8 * i, &word, 8);
  }
  return key;
}

inline std::vector<KeyBytes> keys_of(uint64_t first, size_t count) {
  std::vector<KeyBytes> keys;
  for (size_t i = 0; i < count; i++) keys.push_back(key_of(first + i));
  return keys;
}

// For calls that take keys[][32].
inline const uint8_t (*as_keys(const std::vector<KeyBytes>& keys))[SPECKV_KEY_BYTES] {
  return reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(keys.data());
}

inline speckv_layout small_layout(uint32_t layers = 3, uint32_t preset = SPECKV_PRESET_EXACT) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = layers;
  layout.kv_heads = 2;
  layout.head_dim = 24;  // no power of two: rows of 48 bytes
  layout.block_tokens = 32;
  layout.page_tokens = 16;
  layout.world = 1;
  layout.preset = preset;
  std::memset(layout.weights_digest, 7, sizeof layout.weights_digest);
  return layout;
}

enum class Arrangement {
  token_major,   // [token][head][channel], as vLLM and llama.cpp keep K
  head_major,    // [head][token][channel], the stored order
  transposed_v,  // V as [head][channel][token], as llama.cpp without flash attention
  scattered,     // gaps everywhere, and V backwards along the tokens
};

// Memory for one block, side bytes included, or for a range of its layers.
class Kv {
 public:
  Kv(const speckv_layout& layout, Arrangement arrangement, uint32_t layer_first = 0,
     uint32_t layer_count = 0)
      : layout_(layout), first_(layer_first), count_(layer_count ? layer_count : layout.layers) {
    value_bytes_ = layout.dtype == SPECKV_DTYPE_F8 ? 1 : 2;
    plane_bytes_ =
        size_t(layout.kv_heads) * layout.head_dim * layout.block_tokens * value_bytes_ * 4 + 64;
    memory_.assign(plane_bytes_ * 2 * count_, 0xee);
    for (uint32_t plane = 0; plane < 2 * count_; plane++)
      views_.push_back(view(plane, arrangement));
    if (layer_count || layout.side_bytes == 0) return;
    side_.assign(layout.side_bytes, 0xee);
    views_.push_back({side_.data(), int64_t(side_.size()), 0, 0});
    views_.push_back({});
  }
  Kv(Kv&&) = default;

  speckv_buf buf() { return {first_, count_ + !side_.empty(), views_.data()}; }
  std::vector<speckv_view>& views() { return views_; }

  void fill(uint64_t seed) {
    for_each([&](uint8_t* at, uint64_t index) {
      const uint16_t value = value_of(seed, index);
      std::memcpy(at, &value, value_bytes_);
    });
    for (size_t i = 0; i < side_.size(); i++) side_[i] = side_value(seed, i);
  }
  // Returns: how many values are not those of `seed`.
  size_t wrong(uint64_t seed) {
    size_t count = 0;
    for_each([&](uint8_t* at, uint64_t index) {
      const uint16_t value = value_of(seed, index);
      count += std::memcmp(at, &value, value_bytes_) != 0;
    });
    return count + wrong_side(seed);
  }
  size_t wrong_side(uint64_t seed) {
    size_t count = 0;
    for (size_t i = 0; i < side_.size(); i++) count += side_[i] != side_value(seed, i);
    return count;
  }
  // Largest difference of fp16 values, for presets that lose a little.
  float worst_error(uint64_t seed) {
    float worst = 0;
    for_each([&](uint8_t* at, uint64_t index) {
      uint16_t got;
      std::memcpy(&got, at, 2);
      const float error = std::abs(to_float(got) - to_float(value_of(seed, index)));
      worst = error > worst ? error : worst;
    });
    return worst;
  }
  void forget() {
    std::fill(memory_.begin(), memory_.end(), 0xee);
    std::fill(side_.begin(), side_.end(), 0xee);
  }

 private:
  static uint8_t side_value(uint64_t seed, size_t at) { return uint8_t(mix64(seed + (at << 32))); }
  static float to_float(uint16_t half) {
    _Float16 value;
    std::memcpy(&value, &half, 2);
    return float(value);
  }
  // A finite value in [-2, 2), or any byte for 8-bit floats.
  uint16_t value_of(uint64_t seed, uint64_t index) const {
    const uint64_t bits = mix64(seed * 0x9e3779b97f4a7c15ull + index);
    if (layout_.dtype == SPECKV_DTYPE_BF16)
      return uint16_t((bits & 0x807f) | (0x3f80 - ((bits >> 20 & 3) << 7)));
    return uint16_t((bits & 0x83ff) | (0x3c00 - ((bits >> 20 & 3) << 10)));
  }
  speckv_view view(uint32_t plane, Arrangement arrangement) {
    uint8_t* base = memory_.data() + plane * plane_bytes_;
    const auto value = int64_t(value_bytes_), heads = int64_t(layout_.kv_heads);
    const auto channels = int64_t(layout_.head_dim), tokens = int64_t(layout_.block_tokens);
    const bool is_v = plane % 2;
    if (arrangement == Arrangement::head_major)
      return {base, channels * value, tokens * channels * value, value};
    if (arrangement == Arrangement::transposed_v && is_v)
      return {base, value, channels * tokens * value, tokens * value};
    if (arrangement == Arrangement::scattered) {
      const int64_t step = 2 * value, row = channels * step + 2 * value, all = row * heads;
      if (is_v) return {base + (tokens - 1) * all, -all, row, step};
      return {base, all, row, step};
    }
    return {base, heads * channels * value, channels * value, value};
  }
  template <typename Visit>
  void for_each(Visit visit) {
    for (uint32_t plane = 0; plane < 2 * count_; plane++) {
      const speckv_view& at = views_[plane];
      uint64_t index = (uint64_t(first_) * 2 + plane) << 40;
      for (uint32_t head = 0; head < layout_.kv_heads; head++)
        for (uint32_t token = 0; token < layout_.block_tokens; token++)
          for (uint32_t channel = 0; channel < layout_.head_dim; channel++)
            visit(static_cast<uint8_t*>(at.base) + token * at.token_stride + head * at.head_stride +
                      channel * at.channel_stride,
                  index++);
    }
  }

  speckv_layout layout_;
  uint32_t first_, count_;
  size_t value_bytes_, plane_bytes_;
  std::vector<uint8_t> memory_, side_;
  std::vector<speckv_view> views_;
};

}  // namespace speckv::test
