// SPDX-License-Identifier: Apache-2.0
// chanq.cpp - chanq of one page: in place where channels are neighbours, else through a copy of the
// page.
#include "codec/chanq.hpp"

#include <cstring>

#include "codec/golden.hpp"
#include "codec/simd_chanq.hpp"
#include "codec/stream.hpp"
#include "codec/strided.hpp"

namespace speckv::codec {
namespace {

constexpr size_t page_bytes_max = 2 * chanq_tokens_max * size_t{chanq_head_dim_max};

// The fast path takes eight neighbouring channels at once.
bool has_fast_path(const ChanTable& table) {
  return !table.map.half_split || table.map.rotated % 16 == 0;
}

bool aligned32(const View& out) {
  const auto base = reinterpret_cast<uintptr_t>(out.base);
  return ((base | static_cast<uintptr_t>(out.token_stride)) & 31) == 0;
}

}  // namespace

bool chanq_encode(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                  const ChanTable& table, ptrdiff_t next_page) {
  if (!has_fast_path(table))
    return golden::chanq_encode(id, shape, in, out, table) == Refusal::none;
  alignas(64) std::byte page[page_bytes_max];
  alignas(64) std::byte made[page_bytes_max + simd::chanq_slack];
  ConstView rows = in;
  if (in.channel_stride != 2) {
    gather(shape, in, 0, shape.values(), page);
    rows = {page, ptrdiff_t{2} * shape.head_dim, 2};
    next_page = 0;
  }
  if (!simd::chanq_encode_page(id, shape, rows, made, table, next_page)) return false;
  std::memcpy(out, made, chanq_bytes(id, shape));
  return true;
}

void chanq_decode(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable& table, bool stream) {
  if (!has_fast_path(table)) return golden::chanq_decode(id, shape, in, out, table);
  if (out.channel_stride == 2 && (!stream || simd::chanq_streams(shape, out, table))) {
    return simd::chanq_decode_page(id, shape, in, out, table, stream);
  }
  // Eight channels at a time would tear the lines of a non-temporal store: make the page here, then
  // move its rows.
  alignas(64) std::byte page[page_bytes_max];
  const ptrdiff_t row_bytes = ptrdiff_t{2} * shape.head_dim;
  simd::chanq_decode_page(id, shape, in, {page, row_bytes, 2}, table, false);
  if (out.channel_stride == 2 && aligned32(out)) {
    stream_rows(out.base, out.token_stride, page, size_t(row_bytes), shape.tokens);
  } else {
    scatter(shape, page, 0, shape.values(), out);
  }
}

}  // namespace speckv::codec
