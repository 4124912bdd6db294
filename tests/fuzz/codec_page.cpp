// SPDX-License-Identifier: Apache-2.0
// fuzz codec_page: any bytes as a stored page and as a caller's page, under any codec, shape,
// strides and table. What is encoded or decoded must equal the golden model, and the sanitizers see
// every read and write outside a buffer.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "codec/chanq.hpp"
#include "codec/golden.hpp"

namespace {

using namespace speckv::codec;

// Takes the input apart from the front; zeros when it is used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  void fill(std::vector<std::byte>& to) {
    if (size_ == 0) return;
    for (size_t i = 0; i < to.size(); ++i) to[i] = std::byte(data_[i % size_]);
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

PageShape any_shape(Input& input) {
  PageShape shape;
  shape.tokens = uint16_t(16 << input.byte() % 3);
  shape.head_dim = uint16_t(1 + input.byte());
  if (input.byte() % 4 != 0) shape.head_dim = uint16_t((shape.head_dim + 15) / 16 * 16);
  shape.dtype = uint8_t(1 + input.byte() % 2);
  return shape;
}

std::unique_ptr<ChanTables> any_tables(Input& input, const PageShape& shape) {
  speckv_layout layout{};
  layout.dtype = shape.dtype;
  layout.layers = layout.kv_heads = 1;
  layout.head_dim = shape.head_dim;
  layout.page_tokens = shape.tokens;
  layout.rope = input.byte() % 3;
  layout.rope_dims = input.byte() % (shape.head_dim + 1u) / 2 * 2;
  layout.rope_theta[0] = float(input.byte()) * 100;
  ChanWeights weights;
  weights.layers = weights.kv_heads = 1;
  weights.pairs = uint16_t(shape.head_dim / 2);
  for (size_t i = 0; i < weights.pairs; ++i) {
    const uint8_t byte = input.byte();
    weights.weight.push_back(byte == 255 ? chan_weight_dead : ChanWeight(byte * 64 - 8192));
  }
  std::string error;
  return ChanTables::make(layout, input.byte() % 4 == 0 ? nullptr : &weights, &error);
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const auto id = static_cast<CodecId>(input.byte() % 32);
  const PageShape shape = any_shape(input);
  if (encoded_bytes(id, shape) == 0) return 0;
  std::unique_ptr<ChanTables> tables;
  if (is_chanq(id) && input.byte() % 4 != 0) tables = any_tables(input, shape);
  const ChanTable* table = tables == nullptr ? nullptr : tables->data();

  // Exact allocations, so that one byte too many is seen.
  const bool transposed = input.byte() % 4 == 0;
  const ptrdiff_t token_stride = transposed ? 2 : ptrdiff_t{2} * shape.head_dim;
  const ptrdiff_t channel_stride = transposed ? ptrdiff_t{2} * shape.tokens : 2;
  std::vector<std::byte> page(shape.raw_bytes()), stored(encoded_bytes(id, shape, table));
  std::vector<std::byte> expected = stored;
  input.fill(page);
  const ConstView in{page.data(), token_stride, channel_stride};
  const Refusal refused = encode(id, shape, in, stored, table);
  require(refused == golden::encode(id, shape, in, expected, table));
  require(refused != Refusal::none || stored == expected);
  if (refused != Refusal::none || input.byte() % 2 == 0) input.fill(stored);
  std::vector<std::byte> fast(page.size()), slow(page.size());
  decode(id, shape, stored, {fast.data(), token_stride, channel_stride}, table);
  golden::decode(id, shape, stored, {slow.data(), token_stride, channel_stride}, table);
  require(fast == slow);
  return 0;
}
