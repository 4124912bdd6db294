// SPDX-License-Identifier: Apache-2.0
// q8.cpp - q8 of one page: in place where groups of 32 lie in memory as such, else through a small
// scratch.
#include "codec/q8.hpp"

#include <algorithm>
#include <cstring>

#include "codec/simd_q8.hpp"
#include "codec/strided.hpp"

namespace speckv::codec {
namespace {

// Whole rows and whole groups for every shape: 32 rows of any head_dim would be too much stack, so
// a scratch run is a multiple of 32 values, and of the row where a row is short enough.
constexpr size_t scratch_values = 8192;

size_t scratch_run(const PageShape& shape) {
  const size_t unit =
      size_t{shape.head_dim} % q8_group == 0 ? shape.head_dim : size_t{shape.head_dim} * q8_group;
  return unit <= scratch_values ? scratch_values / unit * unit : scratch_values;
}

bool aligned64(const View& out) {
  return ((reinterpret_cast<uintptr_t>(out.base) | static_cast<uintptr_t>(out.token_stride)) &
          63) == 0;
}

// The last group of a page with tokens * head_dim % 32 == 16: padded with zeros on both sides.
bool encode_tail(const std::byte* values, size_t n, bool bf16, uint8_t* scale, int8_t* codes) {
  alignas(64) std::byte padded[2 * q8_group] = {};
  std::memcpy(padded, values, 2 * n);
  return simd::q8_encode_rows({padded, 0, q8_group, 1, 0}, bf16, scale, codes);
}

bool encode_run(const std::byte* values, size_t n, bool bf16, uint8_t* scales, int8_t* codes,
                ptrdiff_t ahead) {
  const size_t whole = n / q8_group * q8_group;
  if (!simd::q8_encode_rows({values, 0, whole, 1, ahead}, bf16, scales, codes)) return false;
  if (whole == n) return true;
  return encode_tail(values + 2 * whole, n - whole, bf16, scales + whole / q8_group, codes + whole);
}

void decode_run(const uint8_t* scales, const int8_t* codes, size_t n, bool bf16, std::byte* values,
                bool stream) {
  const size_t whole = n / q8_group * q8_group;
  simd::q8_decode_rows(scales, codes, bf16, {values, 0, whole, 1}, stream);
  if (whole == n) return;
  alignas(64) std::byte padded[2 * q8_group];
  simd::q8_decode_rows(scales + whole / q8_group, codes + whole, bf16, {padded, 0, q8_group, 1},
                       false);
  std::memcpy(values + 2 * whole, padded, 2 * (n - whole));
}

}  // namespace

bool q8_encode(const PageShape& shape, const ConstView& in, std::byte* out, ptrdiff_t next_page) {
  const bool bf16 = shape.dtype == SPECKV_DTYPE_BF16;
  auto* scales = reinterpret_cast<uint8_t*>(out);
  auto* codes = reinterpret_cast<int8_t*>(out + q8_scale_bytes(shape));
  std::memset(out + q8_groups(shape), 0, q8_scale_bytes(shape) - q8_groups(shape));
  if (contiguous(shape, in.token_stride, in.channel_stride)) {
    // Where pages follow each other the encoder's next turn is what it needs next.
    const bool follows = next_page == ptrdiff_t(shape.raw_bytes());
    return encode_run(in.base, shape.values(), bf16, scales, codes,
                      follows ? std::min<ptrdiff_t>(next_page, 4096) : next_page);
  }
  if (in.channel_stride == 2 && shape.head_dim % q8_group == 0) {
    return simd::q8_encode_rows({in.base, in.token_stride, shape.head_dim, shape.tokens, next_page},
                                bf16, scales, codes);
  }
  alignas(64) std::byte scratch[2 * scratch_values];
  const size_t run = scratch_run(shape);
  bool accepted = true;
  for (size_t first = 0; first < shape.values(); first += run) {
    const size_t n = std::min(run, shape.values() - first);
    gather(shape, in, first, n, scratch);
    accepted &= encode_run(scratch, n, bf16, scales + first / q8_group, codes + first, 0);
  }
  return accepted;
}

void q8_decode(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  const bool bf16 = shape.dtype == SPECKV_DTYPE_BF16;
  const auto* scales = reinterpret_cast<const uint8_t*>(in);
  const auto* codes = reinterpret_cast<const int8_t*>(in + q8_scale_bytes(shape));
  if (contiguous(shape, out.token_stride, out.channel_stride)) {
    const bool aligned = (reinterpret_cast<uintptr_t>(out.base) & 63) == 0;
    decode_run(scales, codes, shape.values(), bf16, out.base, stream && aligned);
    return;
  }
  if (out.channel_stride == 2 && shape.head_dim % q8_group == 0) {
    const simd::Rows rows{out.base, out.token_stride, shape.head_dim, shape.tokens};
    simd::q8_decode_rows(scales, codes, bf16, rows, stream && aligned64(out));
    return;
  }
  alignas(64) std::byte scratch[2 * scratch_values];
  const size_t run = scratch_run(shape);
  for (size_t first = 0; first < shape.values(); first += run) {
    const size_t n = std::min(run, shape.values() - first);
    decode_run(scales + first / q8_group, codes + first, n, bf16, scratch, false);
    scatter(shape, scratch, first, n, out);
  }
}

bool q8sink_encode(const PageShape& shape, const ConstView& in, std::byte* out,
                   ptrdiff_t next_page) {
  if (!q8_encode(shape, in, out, next_page)) return false;
  std::byte* row = out + q8_bytes(shape);
  std::memset(row, 0, q8sink_bytes(shape) - q8_bytes(shape));
  gather(shape, in, 0, shape.head_dim, row);
  return true;
}

void q8sink_decode(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  q8_decode(shape, in, out, stream);
  scatter(shape, in + q8_bytes(shape), 0, shape.head_dim, out);
}

}  // namespace speckv::codec
