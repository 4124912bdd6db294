// SPDX-License-Identifier: Apache-2.0
// shape.cpp - see shape.hpp.
#include "shape.hpp"

#include <cstring>

namespace speckv::python {

namespace {

// The end of a block whose object is bytes.
struct Tail {
  uint64_t magic;
  uint64_t bytes;
};
static_assert(sizeof(Tail) == 16);
constexpr uint64_t tail_magic = 0x31'7365'7479'6273;  // "sbytes1"

}  // namespace

Shape::Shape(const speckv_layout& layout, uint32_t number, Fill fill)
    : layout_(layout),
      number_(number),
      fill_(fill),
      value_(layout.dtype == SPECKV_DTYPE_F8 ? 1 : 2),
      piece_(size_t{layout.block_tokens} * layout.kv_heads * layout.head_dim * value_) {}

size_t Shape::most_bytes() const {
  return views() * piece_ - (fill_ == Fill::bytes ? sizeof(Tail) : 0);
}

bool Shape::takes(size_t bytes) const {
  return fill_ == Fill::rows ? bytes == most_bytes() : bytes <= most_bytes();
}

Placing::Placing(const Shape& shape, size_t count) : shape_(shape), views_(count * shape.views()) {
  const size_t bytes = shape.fill_ == Fill::rows ? 0 : (2 * count + 1) * shape.piece_;
  scratch_.resize(bytes);
}

size_t Placing::part_offset(size_t i, size_t bytes) const {
  const bool in_last = bytes / shape_.piece_ == shape_.views() - 1;
  return (i * 2 + (in_last ? 1 : 0)) * shape_.piece_;
}

speckv_buf Placing::place(size_t i, uint8_t* data, size_t bytes) {
  const speckv_layout& layout = shape_.layout_;
  const size_t pieces = shape_.views(), value = shape_.value_;
  const auto head = int64_t(layout.head_dim * value), token = int64_t(head * layout.kv_heads);
  speckv_view* views = views_.data() + i * pieces;
  const auto at = [&](uint8_t* base) { return speckv_view{base, token, head, int64_t(value)}; };
  if (shape_.fill_ == Fill::rows) {
    for (size_t layer = 0; layer < layout.layers; layer++) {
      views[2 * layer] = at(data + layer * shape_.piece_);
      views[2 * layer + 1] = at(data + (layout.layers + layer) * shape_.piece_);
    }
    return {0, layout.layers, views};
  }
  const size_t whole = bytes / shape_.piece_;
  uint8_t* nothing = scratch_.data() + scratch_.size() - shape_.piece_;
  for (size_t p = 0; p < pieces; p++) views[p] = at(p < whole ? data + p * shape_.piece_ : nothing);
  if (whole < pieces - 1) views[whole] = at(scratch_.data() + part_offset(i, bytes));
  views[pieces - 1] = at(scratch_.data() + (i * 2 + 1) * shape_.piece_);
  return {0, layout.layers, views};
}

void Placing::fill(size_t i, const uint8_t* data, size_t bytes) {
  if (shape_.fill_ == Fill::rows) return;
  const size_t whole = bytes / shape_.piece_ * shape_.piece_;
  std::memcpy(scratch_.data() + part_offset(i, bytes), data + whole, bytes - whole);
  const Tail tail{tail_magic, bytes};
  std::memcpy(scratch_.data() + tail_offset(i), &tail, sizeof tail);
}

bool Placing::finish(size_t i, uint8_t* data, size_t bytes) const {
  if (shape_.fill_ == Fill::rows) return true;
  Tail tail;
  std::memcpy(&tail, scratch_.data() + tail_offset(i), sizeof tail);
  if (tail.magic != tail_magic || tail.bytes != bytes) return false;
  const size_t whole = bytes / shape_.piece_ * shape_.piece_;
  std::memcpy(data + whole, scratch_.data() + part_offset(i, bytes), bytes - whole);
  return true;
}

}  // namespace speckv::python
