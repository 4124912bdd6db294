// SPDX-License-Identifier: Apache-2.0
// xpack.cpp - xpack of one page: in place where the caller's rows allow it, else through a copy of
// the page.
#include "codec/xpack.hpp"

#include "codec/simd_xpack.hpp"
#include "codec/strided.hpp"

namespace speckv::codec {
namespace {

constexpr size_t page_bytes_max = 2 * 64 * size_t{xpack_head_dim_max};

// Rows of 32 values in page order lie in one piece each.
bool in_place(const PageShape& shape, ptrdiff_t token_stride, ptrdiff_t channel_stride) {
  return contiguous(shape, token_stride, channel_stride) ||
         (channel_stride == 2 && shape.head_dim % xpack_row == 0);
}

bool aligned32(const PageShape& shape, const View& out) {
  // One run of bytes is aligned throughout if its start is.
  const bool whole = contiguous(shape, out.token_stride, out.channel_stride);
  const auto stride = whole ? 0 : static_cast<uintptr_t>(out.token_stride);
  return ((reinterpret_cast<uintptr_t>(out.base) | stride) & 31) == 0;
}

}  // namespace

bool xpack_encode(const PageShape& shape, const ConstView& in, std::byte* out,
                  ptrdiff_t next_page) {
  if (in_place(shape, in.token_stride, in.channel_stride))
    return simd::xpack_encode_rows(shape, in, out, next_page);
  alignas(64) std::byte page[page_bytes_max];
  gather(shape, in, 0, shape.values(), page);
  return simd::xpack_encode_rows(shape, {page, ptrdiff_t{2} * shape.head_dim, 2}, out, 0);
}

void xpack_decode(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  if (in_place(shape, out.token_stride, out.channel_stride))
    return simd::xpack_decode_rows(shape, in, out, stream && aligned32(shape, out));
  alignas(64) std::byte page[page_bytes_max];
  simd::xpack_decode_rows(shape, in, {page, ptrdiff_t{2} * shape.head_dim, 2}, false);
  scatter(shape, page, 0, shape.values(), out);
}

}  // namespace speckv::codec
