// SPDX-License-Identifier: Apache-2.0
// paper.hpp - paper: int8 under one page-wide scale, deltas along the tokens, run lengths; kept for
// the record.
//
// CXL-SpecKV's codec made well defined. On real KV the run lengths are larger than what they encode
// (1.03 x against raw on K, 1.01 x on V), so a page is stored as plain deltas whenever they are
// not; its slot has room for those. There is one implementation, scalar: it is its own golden
// model.
#pragma once

#include "codec/codec.hpp"

namespace speckv::codec {

// Header: scale byte, mode, u16 length of the runs, four zero bytes.
inline constexpr size_t paper_header = 8;
inline constexpr uint8_t paper_runs = 0, paper_deltas = 1;

constexpr bool paper_takes(const PageShape& shape) {
  return shape.dtype != SPECKV_DTYPE_F8 && shape.values() <= 65535;
}
constexpr size_t paper_bytes(const PageShape& shape) {
  return (paper_header + shape.values() + 31) / 32 * 32;
}

[[nodiscard]] Refusal paper_encode(const PageShape& shape, const ConstView& in, std::byte* out);
void paper_decode(const PageShape& shape, const std::byte* in, const View& out);

// Returns: bytes that run lengths alone take for the page, header included: the paper's own ratio.
// 0: refused.
size_t paper_run_bytes(const PageShape& shape, const ConstView& in);

}  // namespace speckv::codec
