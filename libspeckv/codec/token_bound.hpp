// SPDX-License-Identifier: Apache-2.0
// token_bound.hpp - what a preset that is `bounded` promises of every token, and the test of it.
//
// The promise: no value of a token of K comes back further from itself than 1/32 of the token's
// largest value, however loud its page mates are. Of V the same holds for what row mates cost a
// token; the rounding that rowq8 has by itself is not asked about. A codec shares steps between the
// tokens of a page (chanq) or of a row (rowq), so one loud token can spoil the others; q8 and raw
// share nothing between tokens and keep the promise (q8 1/200) whatever the values are.
//
// Encoders ask after each page; decoders know nothing of it. Called by segment.cpp and tests.
// Threading: reentrant. Never allocates. The answer is the same on every vector target.
#pragma once

#include <span>

#include "codec/codec.hpp"

namespace speckv::codec {

// A value's error may be this part of its token's largest value.
inline constexpr int token_bound_inverse = 32;
// Errors this small are no matter, whatever the token: half of q8's smallest step.
constexpr float token_bound_floor(uint8_t dtype) {
  return dtype == SPECKV_DTYPE_BF16 ? 0x1p-20F : 0x1p-22F;
}

// Whether a loud token can spoil others in pages of this codec and shape: those have to be asked
// for.
bool shares_between_tokens(CodecId id, const PageShape& shape);

// made: what `id` made of the page that `in` shows. Returns: whether every token keeps the bound.
// Cheap where the stored steps prove it; only else is the page decoded and compared.
// ret_decoded: optional, whether that was needed. Requires: shares_between_tokens(id, shape).
bool keeps_token_bound(CodecId id, const PageShape& shape, const ConstView& in,
                       std::span<const std::byte> made, const ChanTable* table,
                       bool* ret_decoded = nullptr);

// The exact part alone: decodes and compares. Returns: the largest error of a value over what the
// bound allows it; at most 1 where the promise is kept.
float token_error(CodecId id, const PageShape& shape, const ConstView& in,
                  std::span<const std::byte> made, const ChanTable* table);

}  // namespace speckv::codec
