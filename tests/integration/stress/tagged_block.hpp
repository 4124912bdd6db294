// SPDX-License-Identifier: Apache-2.0
// tagged_block.hpp - one block of memory whose every 64-bit word follows from its key and one
// version number.
//
// The oracle of the stress test: a block that was read is right only if all of its words give the
// same version under the key that was asked for. Words of another key, of two versions, or of a
// torn write do not.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "shm/key.hpp"
#include "speckv/speckv.h"

namespace speckv::test {

inline speckv_layout stress_layout(uint32_t number) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = number == 0 ? 3 : 1;  // a record with segments; a segment alone
  layout.kv_heads = 2;
  layout.head_dim = number == 0 ? 64 : 48;  // two slot sizes, so that slabs are carved anew
  layout.block_tokens = 32;
  layout.page_tokens = 32;
  layout.world = 1;
  layout.preset = SPECKV_PRESET_EXACT;
  return layout;
}

inline void stress_key(uint32_t layout, uint32_t number, uint8_t ret_key[SPECKV_KEY_BYTES]) {
  for (uint64_t i = 0; i < 4; i++) {
    const uint64_t word = mix64((uint64_t(layout) << 40) + number * 4ull + i + 1);
    std::memcpy(ret_key + 8 * i, &word, 8);
  }
}

class TaggedBlock {
 public:
  explicit TaggedBlock(uint32_t layout_number)
      : layout_number_(layout_number), layout_(stress_layout(layout_number)) {
    plane_words_ = size_t(layout_.kv_heads) * layout_.head_dim * layout_.block_tokens * 2 / 8;
    words_.resize(plane_words_ * 2 * layout_.layers);
    for (uint32_t plane = 0; plane < 2 * layout_.layers; plane++)
      views_.push_back(view_at(words_.data() + plane * plane_words_));
  }

  speckv_buf buf(uint32_t layer_first, uint32_t layer_count) {
    return {layer_first, layer_count, views_.data() + 2 * layer_first};
  }
  speckv_buf buf() { return buf(0, layout_.layers); }
  uint32_t layers() const { return layout_.layers; }

  void fill(uint32_t number, uint64_t version) {
    for (size_t i = 0; i < words_.size(); i++) words_[i] = word(number, i) + version;
  }
  // Fills a page's own views instead.
  void fill_views(const speckv_view* views, uint32_t number, uint64_t version) const {
    for (uint32_t plane = 0; plane < 2 * layout_.layers; plane++) {
      auto* to = static_cast<uint64_t*>(views[plane].base);
      for (size_t i = 0; i < plane_words_; i++)
        to[i] = word(number, plane * plane_words_ + i) + version;
    }
  }
  void forget() { std::fill(words_.begin(), words_.end(), 0x5555555555555555ull); }
  // Returns: whether the layers are one whole version of this key.
  bool whole(uint32_t number, uint32_t layer_first, uint32_t layer_count,
             uint64_t* ret_version) const {
    const size_t from = layer_first * 2 * plane_words_, to = from + layer_count * 2 * plane_words_;
    *ret_version = words_[from] - word(number, from);
    for (size_t i = from; i < to; i++)
      if (words_[i] - word(number, i) != *ret_version) return false;
    return true;
  }

 private:
  uint64_t word(uint32_t number, size_t i) const {
    return mix64((uint64_t(layout_number_ + 1) << 56) + (uint64_t(number) << 24) + i);
  }
  // [head][token][channel], nothing between.
  speckv_view view_at(void* base) const {
    const int64_t row = int64_t(layout_.head_dim) * 2;
    return {base, row, row * layout_.block_tokens, 2};
  }

  uint32_t layout_number_;
  speckv_layout layout_;
  size_t plane_words_ = 0;
  std::vector<uint64_t> words_;
  std::vector<speckv_view> views_;
};

}  // namespace speckv::test
