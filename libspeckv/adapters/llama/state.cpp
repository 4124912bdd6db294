// SPDX-License-Identifier: Apache-2.0
// state.cpp - see state.hpp. One walk over the blob's fields serves reading and writing: they
// cannot drift apart.
#include "state.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace speckv::llama {

namespace {

constexpr uint32_t kMagic = 0xaf143cd8;
constexpr int32_t kTypeF16 = 1;    // GGML_TYPE_F16
constexpr int32_t kTypeBf16 = 30;  // GGML_TYPE_BF16
constexpr uint32_t kValueBytes = 2;
constexpr uint64_t kCellBytes = 12;
constexpr uint64_t kMropeCellBytes = 20;  // two more positions (x, y) before the sequence
constexpr uint64_t kLayerHeadBytes = 12;  // K, V and transposed V alike

int32_t ggml_type_of(uint32_t dtype) { return dtype == SPECKV_DTYPE_BF16 ? kTypeBf16 : kTypeF16; }

}  // namespace

// Steps through a blob field by field. Reading fills fields from the blob; writing fills the blob
// from fields. Every step checks what is left first.
class StateWalk {
 public:
  StateWalk(std::span<std::byte> blob, bool writing) : blob_(blob), writing_(writing) {}

  bool walk(StateMap* map, std::string* ret_why) {
    map_ = map;
    why_ = ret_why;
    return header() && cells() && layers() && end();
  }

  // As walk(), but cells may be in any order: ret_positions has theirs.
  bool walk_unsorted(StateMap* map, std::vector<int32_t>* ret_positions, std::string* ret_why) {
    positions_ = ret_positions;
    return walk(map, ret_why);
  }

  // Goes no further than the cells' count.
  bool count(uint32_t* ret_tokens, std::string* ret_why) {
    StateMap map;
    map_ = &map;
    why_ = ret_why;
    if (!header() || !cell_count()) return false;
    *ret_tokens = map.tokens_;
    return true;
  }
  uint64_t cells_at() const { return cells_at_; }

  static StateMap describe(const StateShape& shape, int32_t first_position, uint32_t tokens) {
    StateMap map;
    map.shape_ = shape;
    map.first_position_ = first_position;
    map.tokens_ = tokens;
    return map;
  }

 private:
  bool fail(std::string sentence) {
    *why_ = std::move(sentence);
    return false;
  }

  bool skip(uint64_t bytes, const char* what) {
    if (bytes > blob_.size() - at_) {
      return fail("state blob ends inside " + std::string(what) + ": " + std::to_string(bytes) +
                  " bytes expected at " + std::to_string(at_) + ", " +
                  std::to_string(blob_.size() - at_) + " left");
    }
    at_ += bytes;
    return true;
  }

  template <typename T>
  bool field(T* value, const char* what) {
    const uint64_t from = at_;
    if (!skip(sizeof(T), what)) return false;
    if (writing_) {
      std::memcpy(blob_.data() + from, value, sizeof(T));
    } else {
      std::memcpy(value, blob_.data() + from, sizeof(T));
    }
    return true;
  }

  // A field that can only be `expected`.
  template <typename T>
  bool fixed(T expected, const char* what) {
    T found = expected;
    if (!field(&found, what)) return false;
    if (found == expected) return true;
    return fail("state blob's " + std::string(what) + " is " + std::to_string(found) +
                ", expected " + std::to_string(expected) +
                "; this adapter reads the format of llama.cpp b10359");
  }

  bool header() {
    uint32_t sequence = 0;
    if (!fixed(kMagic, "magic") || !field(&sequence, "sequence id")) return false;
    if (!field(&map_->shape_.streams, "stream count")) return false;
    const uint32_t streams = map_->shape_.streams;
    if (streams == 0 || streams > 4096) {
      return fail("state blob has " + std::to_string(streams) + " streams, expected 1 to 4096");
    }
    map_->blob_ = blob_.data();
    return true;
  }

  // Streams before the one that holds the sequence are empty when read; written blobs put it first.
  bool cell_count() {
    uint32_t count = map_->tokens_;
    for (uint32_t stream = 0; stream < map_->shape_.streams; ++stream) {
      if (!field(&count, "cell count")) return false;
      streams_left_ = map_->shape_.streams - stream - 1;
      if (count != 0) break;
    }
    map_->tokens_ = count;
    if (count > kTokensMax) {
      return fail("state blob claims " + std::to_string(count) + " cells, at most " +
                  std::to_string(kTokensMax) + " are taken");
    }
    if (uint64_t(count) * kCellBytes > blob_.size() - at_) {
      return fail("state blob ends inside the table of its " + std::to_string(count) + " cells");
    }
    cells_at_ = at_;
    return true;
  }

  bool cells() {
    if (!cell_count()) return false;
    for (uint32_t i = 0; i < map_->tokens_; ++i) {
      if (!cell(i)) return mrope() ? fail_mrope() : false;
    }
    return true;
  }

  // Whether the cells are as a model writes them whose tokens have several positions each.
  bool mrope() const {
    const uint64_t cells = uint64_t(map_->tokens_) * kMropeCellBytes;
    if (writing_ || map_->tokens_ == 0 || cells + 8 > blob_.size() - cells_at_) return false;
    for (uint32_t i = 0; i < map_->tokens_; ++i) {
      uint32_t words[2];
      std::memcpy(words, blob_.data() + cells_at_ + i * kMropeCellBytes, sizeof words);
      if (words[0] > uint32_t(INT32_MAX) || words[1] != 1) return false;
    }
    uint32_t tail[2];  // V's transposition, layers
    std::memcpy(tail, blob_.data() + cells_at_ + cells, sizeof tail);
    return tail[0] <= 1 && tail[1] > 0 && tail[1] <= SPECKV_LAYERS_MAX;
  }
  bool fail_mrope() {
    return fail(
        "state blob's cells hold several positions a token (M-RoPE, as models that see images "
        "write them); this adapter moves sequences of one position a token");
  }

  bool cell(uint32_t i) {
    int32_t position = int32_t(uint32_t(map_->first_position_) + i);
    int32_t sequence = 0;
    if (!field(&position, "position")) return false;
    if (!fixed<uint32_t>(1, "sequences per cell") || !field(&sequence, "cell's sequence")) {
      return false;
    }
    if (positions_) positions_->push_back(position);
    if (positions_ && position >= 0) return true;
    if (i == 0) map_->first_position_ = position;
    if (position >= 0 && int64_t(position) == int64_t(map_->first_position_) + i) return true;
    return fail("cell " + std::to_string(i) + " of the state blob is at position " +
                std::to_string(position) + ", expected " +
                std::to_string(int64_t(map_->first_position_) + i) +
                "; only consecutive tokens in order can be viewed");
  }

  bool layers() {
    if (map_->tokens_ == 0) {
      map_->shape_.layers = 0;
      return true;
    }
    uint32_t transposed = map_->shape_.v_transposed ? 1 : 0;
    if (!field(&transposed, "V transposition") || !field(&map_->shape_.layers, "layer count")) {
      return false;
    }
    const bool sane =
        transposed <= 1 && map_->shape_.layers > 0 && map_->shape_.layers <= SPECKV_LAYERS_MAX;
    if (!sane && mrope()) return fail_mrope();
    if (transposed > 1) {
      return fail("state blob's V transposition is " + std::to_string(transposed) +
                  ", expected 0 or 1");
    }
    map_->shape_.v_transposed = transposed == 1;
    const uint32_t count = map_->shape_.layers;
    if (count == 0 || count > SPECKV_LAYERS_MAX) {
      return fail("state blob has " + std::to_string(count) + " layers, expected 1 to " +
                  std::to_string(SPECKV_LAYERS_MAX));
    }
    map_->k_offset_.resize(count);
    map_->v_offset_.resize(count);
    for (uint32_t i = 0; i < count; ++i) {
      if (!layer_k(i)) return false;
    }
    for (uint32_t i = 0; i < count; ++i) {
      if (!layer_v(i)) return false;
    }
    return true;
  }

  bool layer_k(uint32_t layer) {
    int32_t type = ggml_type_of(map_->shape_.dtype);
    uint64_t row_bytes = map_->shape_.row_bytes();
    if (!field(&type, "type of K") || !field(&row_bytes, "row of K")) return false;
    if (layer == 0 && !take_row(type, row_bytes)) return false;
    return rows(type, row_bytes, &map_->k_offset_[layer]);
  }

  bool layer_v(uint32_t layer) {
    int32_t type = ggml_type_of(map_->shape_.dtype);
    uint64_t row_bytes = map_->shape_.row_bytes();
    if (!field(&type, "type of V")) return false;
    if (type != ggml_type_of(map_->shape_.dtype)) {
      return fail("the cache keeps V as type " + std::to_string(type) + " and K as type " +
                  std::to_string(ggml_type_of(map_->shape_.dtype)) +
                  "; open the context with type_k and type_v alike, both f16 or both bf16");
    }
    if (map_->shape_.v_transposed) {
      uint32_t channels = uint32_t(row_bytes / kValueBytes);
      if (!fixed(kValueBytes, "value size of V") || !field(&channels, "channels of V"))
        return false;
      row_bytes = uint64_t(channels) * kValueBytes;
    } else if (!field(&row_bytes, "row of V")) {
      return false;
    }
    return rows(type, row_bytes, &map_->v_offset_[layer]);
  }

  // Learns dtype and head_dim from the first layer's K.
  bool take_row(int32_t type, uint64_t row_bytes) {
    if (type != kTypeF16 && type != kTypeBf16) {
      return fail(
          "the cache keeps K as type " + std::to_string(type) + ", which" +
          " is neither f16 nor bf16; open the context with type_k and type_v of one of them");
    }
    map_->shape_.dtype = type == kTypeBf16 ? SPECKV_DTYPE_BF16 : SPECKV_DTYPE_F16;
    const uint64_t head_row = uint64_t(map_->shape_.kv_heads) * kValueBytes;
    if (head_row == 0 || row_bytes == 0 || row_bytes % head_row != 0 ||
        row_bytes / head_row > SPECKV_HEAD_DIM_MAX) {
      return fail("a row of K has " + std::to_string(row_bytes) + " bytes, which " +
                  std::to_string(map_->shape_.kv_heads) + " KV heads cannot share");
    }
    map_->shape_.head_dim = uint32_t(row_bytes / head_row);
    return true;
  }

  bool rows(int32_t type, uint64_t row_bytes, uint64_t* ret_offset) {
    if (type != ggml_type_of(map_->shape_.dtype) || row_bytes != map_->shape_.row_bytes()) {
      return fail("layers differ: type " + std::to_string(type) + " and rows of " +
                  std::to_string(row_bytes) + " bytes, expected type " +
                  std::to_string(ggml_type_of(map_->shape_.dtype)) + " and " +
                  std::to_string(map_->shape_.row_bytes()));
    }
    *ret_offset = at_;
    return skip(row_bytes * map_->tokens_, "K and V");
  }

  bool end() {
    for (; streams_left_ > 0; --streams_left_) {
      if (!fixed<uint32_t>(0, "cell count of another stream")) return false;
    }
    if (at_ == blob_.size()) return true;
    if (second_cache()) {
      return fail(
          "state blob holds two KV caches, as of a model with sliding-window layers; this adapter "
          "moves sequences of models with one cache only");
    }
    return fail("state blob has " + std::to_string(blob_.size() - at_) +
                " bytes after its end; this adapter reads the format of llama.cpp b10359");
  }

  // Whether what is left begins as a cache does: streams, then cells of this sequence.
  bool second_cache() const {
    uint32_t words[2] = {0, 0};
    if (blob_.size() - at_ < sizeof words) return false;
    std::memcpy(words, blob_.data() + at_, sizeof words);
    return words[0] == map_->shape_.streams && words[1] <= kTokensMax;
  }

  std::span<std::byte> blob_;
  bool writing_;
  uint64_t at_ = 0;
  uint64_t cells_at_ = 0;
  std::vector<int32_t>* positions_ = nullptr;
  uint32_t streams_left_ = 0;
  StateMap* map_ = nullptr;
  std::string* why_ = nullptr;
};

speckv_view StateMap::k(uint32_t layer, uint32_t first) const {
  const int64_t row = int64_t(shape_.row_bytes());
  return {blob_ + k_offset_[layer] + uint64_t(row) * first, row,
          int64_t(shape_.head_dim) * kValueBytes, kValueBytes};
}

speckv_view StateMap::v(uint32_t layer, uint32_t first) const {
  if (!shape_.v_transposed) {
    const int64_t row = int64_t(shape_.row_bytes());
    return {blob_ + v_offset_[layer] + uint64_t(row) * first, row,
            int64_t(shape_.head_dim) * kValueBytes, kValueBytes};
  }
  const int64_t channel = int64_t(tokens_) * kValueBytes;
  return {blob_ + v_offset_[layer] + uint64_t(first) * kValueBytes, kValueBytes,
          channel * shape_.head_dim, channel};
}

void StateMap::views(uint32_t first, std::span<speckv_view> ret_views) const {
  for (uint32_t layer = 0; layer < shape_.layers; ++layer) {
    ret_views[2 * layer] = k(layer, first);
    ret_views[2 * layer + 1] = v(layer, first);
  }
}

bool parse_state(std::span<std::byte> blob, uint32_t kv_heads, StateMap* ret_map,
                 std::string* ret_why) {
  if (kv_heads == 0 || kv_heads > SPECKV_HEADS_MAX) {
    *ret_why = "kv_heads is " + std::to_string(kv_heads) + ", expected 1 to " +
               std::to_string(SPECKV_HEADS_MAX);
    return false;
  }
  StateShape shape;
  shape.kv_heads = kv_heads;
  *ret_map = StateWalk::describe(shape, 0, 0);
  return StateWalk(blob, false).walk(ret_map, ret_why);
}

namespace {

// Moves what lies at from[i] to i, for every i. Each cycle holds one value aside.
void permute(std::byte* base, int64_t stride, size_t bytes, std::span<const uint32_t> from,
             std::vector<bool>* done, std::vector<std::byte>* aside) {
  done->assign(from.size(), false);
  aside->resize(bytes);
  for (uint32_t start = 0; start < from.size(); ++start) {
    if ((*done)[start]) continue;
    std::memcpy(aside->data(), base + start * stride, bytes);
    uint32_t at = start;
    for (; from[at] != start; at = from[at]) {
      std::memcpy(base + at * stride, base + from[at] * stride, bytes);
      (*done)[at] = true;
    }
    std::memcpy(base + at * stride, aside->data(), bytes);
    (*done)[at] = true;
  }
}

void permute_side(const speckv_view& side, const StateShape& shape, std::span<const uint32_t> from,
                  std::vector<bool>* done, std::vector<std::byte>* aside) {
  auto* base = static_cast<std::byte*>(side.base);
  if (side.channel_stride == kValueBytes)
    return permute(base, side.token_stride, shape.row_bytes(), from, done, aside);
  for (uint32_t channel = 0; channel < shape.kv_heads * shape.head_dim; ++channel)
    permute(base + channel * side.channel_stride, side.token_stride, kValueBytes, from, done,
            aside);
}

}  // namespace

bool sort_state(std::span<std::byte> blob, uint32_t kv_heads, StateMap* ret_map,
                std::string* ret_why) {
  if (parse_state(blob, kv_heads, ret_map, ret_why)) return true;
  StateShape shape;
  shape.kv_heads = kv_heads;
  if (kv_heads == 0 || kv_heads > SPECKV_HEADS_MAX) return false;
  StateMap map = StateWalk::describe(shape, 0, 0);
  StateWalk walk(blob, false);
  std::vector<int32_t> positions;
  if (!walk.walk_unsorted(&map, &positions, ret_why)) return false;
  std::vector<uint32_t> from(positions.size());
  std::iota(from.begin(), from.end(), 0);
  std::sort(from.begin(), from.end(),
            [&](uint32_t a, uint32_t b) { return positions[a] < positions[b]; });
  for (size_t i = 1; i < from.size(); ++i) {
    if (int64_t(positions[from[i]]) == int64_t(positions[from[0]]) + int64_t(i)) continue;
    *ret_why = "the state blob's tokens have a gap or a double at position " +
               std::to_string(positions[from[i]]) + "; only consecutive tokens can be taken";
    return false;
  }
  std::vector<bool> done;
  std::vector<std::byte> aside;
  for (uint32_t layer = 0; layer < map.shape().layers; ++layer) {
    permute_side(map.k(layer, 0), map.shape(), from, &done, &aside);
    permute_side(map.v(layer, 0), map.shape(), from, &done, &aside);
  }
  permute(blob.data() + walk.cells_at(), int64_t(kCellBytes), kCellBytes, from, &done, &aside);
  return parse_state(blob, kv_heads, ret_map, ret_why);
}

bool state_tokens(std::span<const std::byte> blob, uint32_t* ret_tokens, std::string* ret_why) {
  // the walk writes only when it lays out
  const std::span<std::byte> whole(const_cast<std::byte*>(blob.data()), blob.size());
  return StateWalk(whole, false).count(ret_tokens, ret_why);
}

uint64_t state_bytes(const StateShape& shape, uint32_t tokens) {
  const uint64_t header = 12 + uint64_t(shape.streams) * 4;
  if (tokens == 0) return header;
  const uint64_t sides = uint64_t(shape.layers) * 2;
  return header + tokens * kCellBytes + 8 + sides * (kLayerHeadBytes + shape.row_bytes() * tokens);
}

bool lay_out_state(const StateShape& shape, int32_t first_position, uint32_t tokens,
                   std::span<std::byte> blob, StateMap* ret_map, std::string* ret_why) {
  const bool sane = shape.layers > 0 && shape.layers <= SPECKV_LAYERS_MAX && shape.kv_heads > 0 &&
                    shape.kv_heads <= SPECKV_HEADS_MAX && shape.head_dim > 0 &&
                    shape.head_dim <= SPECKV_HEAD_DIM_MAX && tokens > 0 && tokens <= kTokensMax &&
                    first_position >= 0 && int64_t(first_position) + tokens <= INT32_MAX &&
                    (shape.dtype == SPECKV_DTYPE_F16 || shape.dtype == SPECKV_DTYPE_BF16);
  if (!sane) {
    *ret_why = "no state blob has this shape: " + std::to_string(shape.layers) + " layers, " +
               std::to_string(shape.kv_heads) + " heads of " + std::to_string(shape.head_dim) +
               ", " + std::to_string(tokens) + " tokens from position " +
               std::to_string(first_position);
    return false;
  }
  if (blob.size() != state_bytes(shape, tokens)) {
    *ret_why = "room for the state blob is " + std::to_string(blob.size()) + " bytes, expected " +
               std::to_string(state_bytes(shape, tokens));
    return false;
  }
  *ret_map = StateWalk::describe(shape, first_position, tokens);
  return StateWalk(blob, true).walk(ret_map, ret_why);
}

namespace {

void copy_side(const speckv_view& from, const speckv_view& to, const StateShape& shape,
               uint32_t count) {
  const auto* source = static_cast<const std::byte*>(from.base);
  auto* target = static_cast<std::byte*>(to.base);
  if (from.channel_stride == kValueBytes && to.channel_stride == kValueBytes) {
    for (uint32_t token = 0; token < count; ++token) {
      std::memcpy(target + token * to.token_stride, source + token * from.token_stride,
                  shape.row_bytes());
    }
    return;
  }
  for (uint32_t channel = 0; channel < shape.kv_heads * shape.head_dim; ++channel) {
    const int64_t head = channel / shape.head_dim, rest = channel % shape.head_dim;
    const auto* s = source + head * from.head_stride + rest * from.channel_stride;
    auto* t = target + head * to.head_stride + rest * to.channel_stride;
    for (uint32_t token = 0; token < count; ++token) {
      std::memcpy(t + token * to.token_stride, s + token * from.token_stride, kValueBytes);
    }
  }
}

}  // namespace

void copy_tokens(const StateMap& from, uint32_t from_first, const StateMap& to, uint32_t to_first,
                 uint32_t count) {
  for (uint32_t layer = 0; layer < from.shape().layers; ++layer) {
    copy_side(from.k(layer, from_first), to.k(layer, to_first), from.shape(), count);
    copy_side(from.v(layer, from_first), to.v(layer, to_first), from.shape(), count);
  }
}

}  // namespace speckv::llama
