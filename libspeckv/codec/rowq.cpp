// SPDX-License-Identifier: Apache-2.0
// rowq.cpp - rowq of one page: in place where channels are neighbours, else through a copy of the
// page.
#include "codec/rowq.hpp"

#include "codec/simd_rowq.hpp"
#include "codec/strided.hpp"

namespace speckv::codec {
namespace {

constexpr size_t page_bytes_max = 2 * 64 * size_t{rowq_head_dim_max};

bool aligned32(const View& out) {
  const auto base = reinterpret_cast<uintptr_t>(out.base);
  return ((base | static_cast<uintptr_t>(out.token_stride)) & 31) == 0;
}

}  // namespace

bool rowq_encode(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                 ptrdiff_t next_page) {
  if (in.channel_stride == 2) return simd::rowq_encode_rows(bits, shape, in, out, next_page);
  alignas(64) std::byte page[page_bytes_max];
  gather(shape, in, 0, shape.values(), page);
  return simd::rowq_encode_rows(bits, shape, {page, ptrdiff_t{2} * shape.head_dim, 2}, out, 0);
}

void rowq_decode(int bits, const PageShape& shape, const std::byte* in, const View& out,
                 bool stream) {
  if (out.channel_stride == 2) {
    return simd::rowq_decode_rows(bits, shape, in, out, stream && aligned32(out));
  }
  alignas(64) std::byte page[page_bytes_max];
  simd::rowq_decode_rows(bits, shape, in, {page, ptrdiff_t{2} * shape.head_dim, 2}, false);
  scatter(shape, page, 0, shape.values(), out);
}

}  // namespace speckv::codec
