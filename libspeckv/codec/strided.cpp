// SPDX-License-Identifier: Apache-2.0
#include "codec/strided.hpp"

#include <algorithm>
#include <cstring>

#include "codec/raw.hpp"

namespace speckv::codec {
namespace {

// Calls row(token, first channel, channels) for each piece of a row in values [first, first +
// count).
template <typename Row>
void for_each_row(size_t head_dim, size_t first, size_t count, Row row) {
  while (count > 0) {
    const size_t channel = first % head_dim;
    const size_t n = std::min(count, head_dim - channel);
    row(first / head_dim, channel, n);
    first += n;
    count -= n;
  }
}

template <typename Value>
void gather_values(const std::byte* from, ptrdiff_t stride, size_t n, std::byte* to) {
  for (size_t i = 0; i < n; ++i)
    std::memcpy(to + i * sizeof(Value), from + ptrdiff_t(i) * stride, sizeof(Value));
}

template <typename Value>
void scatter_values(const std::byte* from, size_t n, std::byte* to, ptrdiff_t stride) {
  for (size_t i = 0; i < n; ++i)
    std::memcpy(to + ptrdiff_t(i) * stride, from + i * sizeof(Value), sizeof(Value));
}

// Transposed pages: 16-bit value (row, column) moves between to[row * to_row + column * 2] and
// from[row * 2 + column * from_column]. Tiles of 8 x 8 keep both sides in a few cache lines.
void transpose16(const std::byte* from, ptrdiff_t from_column, std::byte* to, ptrdiff_t to_row,
                 size_t rows, size_t columns) {
  constexpr size_t tile = 8;
  for (size_t c0 = 0; c0 < columns; c0 += tile) {
    const size_t c_end = std::min(c0 + tile, columns);
    for (size_t r0 = 0; r0 < rows; r0 += tile) {
      const size_t r_end = std::min(r0 + tile, rows);
      for (size_t c = c0; c < c_end; ++c) {
        const std::byte* source = from + ptrdiff_t(c) * from_column;
        for (size_t r = r0; r < r_end; ++r)
          std::memcpy(to + ptrdiff_t(r) * to_row + c * 2, source + r * 2, 2);
      }
    }
  }
}

}  // namespace

bool contiguous(const PageShape& shape, ptrdiff_t token_stride, ptrdiff_t channel_stride) {
  const ptrdiff_t bytes = ptrdiff_t(value_bytes(shape.dtype));
  return channel_stride == bytes && token_stride == bytes * shape.head_dim;
}

void gather(const PageShape& shape, const ConstView& in, size_t first, size_t count,
            std::byte* out) {
  const size_t bytes = value_bytes(shape.dtype);
  if (contiguous(shape, in.token_stride, in.channel_stride)) {
    std::memcpy(out, in.base + first * bytes, count * bytes);
    return;
  }
  const size_t d = shape.head_dim;
  if (bytes == 2 && in.token_stride == 2 && first % d == 0 && count % d == 0) {
    transpose16(in.base + first / d * 2, in.channel_stride, out, ptrdiff_t(d) * 2, count / d, d);
    return;
  }
  for_each_row(d, first, count, [&](size_t token, size_t channel, size_t n) {
    const std::byte* from =
        in.base + ptrdiff_t(token) * in.token_stride + ptrdiff_t(channel) * in.channel_stride;
    if (in.channel_stride == ptrdiff_t(bytes)) std::memcpy(out, from, n * bytes);
    else if (bytes == 2) gather_values<uint16_t>(from, in.channel_stride, n, out);
    else gather_values<uint8_t>(from, in.channel_stride, n, out);
    out += n * bytes;
  });
}

void scatter(const PageShape& shape, const std::byte* in, size_t first, size_t count,
             const View& out) {
  const size_t bytes = value_bytes(shape.dtype);
  if (contiguous(shape, out.token_stride, out.channel_stride)) {
    std::memcpy(out.base + first * bytes, in, count * bytes);
    return;
  }
  const size_t d = shape.head_dim;
  if (bytes == 2 && out.token_stride == 2 && first % d == 0 && count % d == 0) {
    // The same transposition seen from the other side: channels are the rows of the output.
    transpose16(in, ptrdiff_t(d) * 2, out.base + first / d * 2, out.channel_stride, d, count / d);
    return;
  }
  for_each_row(d, first, count, [&](size_t token, size_t channel, size_t n) {
    std::byte* to =
        out.base + ptrdiff_t(token) * out.token_stride + ptrdiff_t(channel) * out.channel_stride;
    if (out.channel_stride == ptrdiff_t(bytes)) std::memcpy(to, in, n * bytes);
    else if (bytes == 2) scatter_values<uint16_t>(in, n, to, out.channel_stride);
    else scatter_values<uint8_t>(in, n, to, out.channel_stride);
    in += n * bytes;
  });
}

}  // namespace speckv::codec
