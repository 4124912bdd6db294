// SPDX-License-Identifier: Apache-2.0
// codec.hpp - the codec room's one door: encode and decode one page, by codec id.
//
// What it is: pure functions on memory. No I/O, no allocation on encode/decode, no logging, no
// global state but the
//   CPU dispatch chosen once. May include speckv/layout.h and nothing else of ours.
// Who calls it: the daemon (encode), the library (decode), tools and tests.
// Threading: every function is reentrant.
// Sizes: the encoded size depends on (codec, shape, context) only, never on the data.
// Safety: decode() reads exactly encoded_bytes() and writes exactly the page, whatever the bytes
// say. The scalar golden model (golden_*.cpp) is the specification; SIMD must give the same bytes
// for every input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "speckv/layout.h"

namespace speckv::codec {

enum class CodecId : uint8_t {
  raw = 0,
  paper = 1,
  q8 = 2,
  rowq3 = 3,
  rowq4 = 4,
  rowq5 = 5,
  rowq6 = 6,
  rowq8 = 8,
  xpack = 9,
  q8sink = 10,
  chanq2_5 = 16,
  chanq3 = 17,
  chanq3_5 = 18,
  chanq4 = 19,
  chanq4_5 = 20,
  chanq5 = 21,
  chanq7 = 22,
};

enum class Kind : uint8_t { k = 0, v = 1 };

// One page's geometry. tokens in {16,32,64}; head_dim any for raw and q8, see docs/codec.md for the
// others.
struct PageShape {
  uint16_t tokens = 0;
  uint16_t head_dim = 0;
  uint8_t dtype = SPECKV_DTYPE_F16;  // enum speckv_dtype
  Kind kind = Kind::k;
  constexpr size_t values() const { return size_t(tokens) * head_dim; }
  constexpr size_t raw_bytes() const { return values() * (dtype == SPECKV_DTYPE_F8 ? 1 : 2); }
};

// Where value (token t, channel c) of a page lives: base + t*token_stride + c*channel_stride,
// strides in bytes.
struct ConstView {
  const std::byte* base;
  ptrdiff_t token_stride;
  ptrdiff_t channel_stride;
};
struct View {
  std::byte* base;
  ptrdiff_t token_stride;
  ptrdiff_t channel_stride;
};

// Static side information of one (layer, kv head) for chanq; nullptr means "equal widths, no RoPE
// undone".
struct ChanTable;

enum class Refusal : uint8_t {
  none = 0,
  not_finite,
  out_of_range,
  unsupported_shape,
  needs_table,
  no_room,
  token_bound  // a token would lose more than its preset promises
};

// Returns: bytes of one encoded page; 0 when the codec does not take this shape.
size_t encoded_bytes(CodecId id, const PageShape& shape, const ChanTable* table = nullptr);

// Encodes one page into out (out.size() >= encoded_bytes()). Not `none`: out is undefined, store
// the page raw.
[[nodiscard]] Refusal encode(CodecId id, const PageShape& shape, ConstView in,
                             std::span<std::byte> out, const ChanTable* table = nullptr);

// Decodes one page. Requires: in.size() >= encoded_bytes(). Total: any bytes decode to something.
void decode(CodecId id, const PageShape& shape, std::span<const std::byte> in, View out,
            const ChanTable* table = nullptr);

std::string_view name(CodecId id);
// Returns: false when no codec has that name.
bool parse(std::string_view name, CodecId* ret_id);

// How the pages of a block are stored: K and V of every page but the first of a sequence, and that
// first page.
struct Preset {
  CodecId k;
  CodecId v;
  CodecId first;
  bool bounded = false;  // every token keeps token_bound.hpp's promise, or the page is refused
};
// Returns: the codecs of an enum speckv_preset that exists in this build, else false.
bool preset(uint32_t preset_id, Preset* ret_preset);
std::string_view preset_name(uint32_t preset_id);
bool parse_preset(std::string_view name, uint32_t* ret_preset_id);

// The instruction set that run-time dispatch chose, for reports ("AVX2", "AVX3_ZEN4", "NEON",
// "scalar").
std::string_view isa();

}  // namespace speckv::codec
