// SPDX-License-Identifier: Apache-2.0
// xpack.hpp - xpack's constants and geometry, shared by the golden model and the fast path, and the
// fast path's two calls.
//
// xpack keeps every bit of a page. A value's sign and fraction are stored as they are, its exponent
// as a distance from its channel's largest: three bits where that is below 7, else a nibble more in
// a list. The lists have a fixed room; a page that needs more is refused. Layout: docs/codec.md.
#pragma once

#include <cstdint>

#include "codec/codec.hpp"
#include "codec/q8.hpp"

namespace speckv::codec {

inline constexpr size_t xpack_unit = 256;  // values that are stored together, eight rows of 32
inline constexpr size_t xpack_row = 32;
inline constexpr size_t xpack_code_bytes = 96;    // three bits of each value of a unit
inline constexpr size_t xpack_escape_bytes = 12;  // room for escapes, a unit's share at least
inline constexpr uint16_t xpack_head_dim_max = 256;
inline constexpr int xpack_escape = 7;  // the code that says: see the list
// Nibbles of the list: 0..13 are distances 7..20, then exponent field 0, then a byte of its own.
inline constexpr int xpack_zero = 14;
inline constexpr int xpack_far = 15;
inline constexpr int xpack_distance_max = xpack_escape + xpack_zero - 1;
// A channel whose largest exponent is this far below the page's, or farther, takes the smallest
// ones: most likely it is all zeros.
inline constexpr int xpack_offset_max = 15;

constexpr bool xpack_takes(const PageShape& shape) {
  return (shape.dtype == SPECKV_DTYPE_F16 || shape.dtype == SPECKV_DTYPE_BF16) &&
         shape.head_dim % 16 == 0 && shape.head_dim <= xpack_head_dim_max;
}

// Where the parts of an encoded page lie, in bytes from its start.
struct XpackMap {
  size_t units;
  size_t unit_bytes;
  size_t top;      // the page's largest exponent; the channels' offsets lie before it
  size_t far;      // a byte for each unit: exponents that no nibble reaches
  size_t nibbles;  // from here to `body`
  size_t body;     // the units
  size_t bytes;    // of the page
  constexpr size_t escapes_max() const { return 2 * (body - nibbles); }
};
constexpr XpackMap xpack_map(const PageShape& shape) {
  XpackMap map{};
  map.units = shape.values() / xpack_unit;
  map.unit_bytes = xpack_unit + xpack_code_bytes * (shape.dtype == SPECKV_DTYPE_BF16 ? 1 : 2);
  map.top = size_t{shape.head_dim} / 2;
  map.far = map.top + 1;
  map.nibbles = map.far + map.units;
  map.bytes = align_payload(map.units * (map.unit_bytes + xpack_escape_bytes) + map.top);
  map.body = map.bytes - map.units * map.unit_bytes;
  return map;
}

// The exponent that a channel's distances count down from.
constexpr int xpack_base(int top, int offset) {
  return offset == xpack_offset_max ? xpack_escape - 1 : top - offset;
}

// Requires: xpack_takes(shape). Returns: false when the lists are too short; out is then undefined.
// next_page: distance in bytes to the page encoded next, for prefetching; 0: not known.
[[nodiscard]] bool xpack_encode(const PageShape& shape, const ConstView& in, std::byte* out,
                                ptrdiff_t next_page);
// stream: non-temporal stores where the output is aligned for them.
void xpack_decode(const PageShape& shape, const std::byte* in, const View& out, bool stream);

}  // namespace speckv::codec
