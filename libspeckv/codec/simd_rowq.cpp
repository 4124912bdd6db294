// SPDX-License-Identifier: Apache-2.0
// simd_rowq.cpp - rowq's inner loops for every vector target; golden_rowq.cpp says what they
// compute.
//
// A row is eight vectors of sixteen 16-bit integers (sixteen of eight on 16-byte targets). The
// transform needs no permutation of its own: interleaving two vectors rotates the bits of the
// value's index through the lanes, and after a full turn every value is back in its place. Codes
// are bytes from the quantiser on: the lattice step and the bit planes take 32 at once.
#include "codec/simd_rowq.hpp"

#include <array>
#include <bit>
#include <cstring>

#include "codec/golden.hpp"
#include "codec/half.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_rowq.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_int-inl.h"

#ifndef SPECKV_CODEC_SIMD_ROWQ_ONCE_
#define SPECKV_CODEC_SIMD_ROWQ_ONCE_
namespace speckv::codec::simd {

inline float exp2_float(int e) { return std::bit_cast<float>(uint32_t(e + 127) << 23); }

// 32 bits to 24 and back: three of each four.
inline uint32_t drop_fourth_bits(uint32_t x) {
  x = (x & 0x07070707) | (x & 0x70707070) >> 1;
  x = (x & 0x003f003f) | (x & 0x3f003f00) >> 2;
  return (x & 0xfff) | (x & 0xfff0000) >> 4;
}
// The fourth becomes the parity of its three.
inline uint32_t restore_fourth_bits(uint32_t x) {
  x = (x & 0xfff) | (x & 0xfff000) << 4;
  x = (x & 0x003f003f) | (x & 0x0fc00fc0) << 2;
  x = (x & 0x07070707) | (x & 0x38383838) << 1;
  return x | ((x ^ x >> 1 ^ x >> 2) & 0x11111111) << 3;
}

// R[w] = 32767 / w
inline constexpr std::array<int16_t, 33> make_reciprocals() {
  std::array<int16_t, 33> table{};
  for (int w = 1; w <= 32; ++w) table[size_t(w)] = int16_t(32767 / w);
  return table;
}
inline constexpr std::array<int16_t, 33> reciprocals = make_reciprocals();

}  // namespace speckv::codec::simd
#endif

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t /*ahead*/) {
  return golden::rowq_encode(bits, shape, in, out) == Refusal::none;
}
void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool /*stream*/) {
  golden::rowq_decode(bits, shape, in, out);
}
#else

inline constexpr size_t block_vectors = 64 / lanes16;
inline constexpr size_t row_vectors = 2 * block_vectors;
inline constexpr size_t group_vectors = rowq_group / lanes16;
inline constexpr size_t group_bytes = rowq_group / lanes8;  // vectors of codes in a group

// Plane 0 of a row: 128 lowest bits as 96.
HWY_INLINE void store_low_plane(const uint32_t word[4], std::byte* to) {
#if SPECKV_X86_WIDE
  constexpr uint64_t three = 0x7777777777777777;
  const uint64_t first = _pext_u64(word[0] | uint64_t{word[1]} << 32, three);
  const uint64_t second = _pext_u64(word[2] | uint64_t{word[3]} << 32, three);
#else
  const uint64_t first = simd::drop_fourth_bits(word[0]) | uint64_t{simd::drop_fourth_bits(word[1])}
                                                               << 24;
  const uint64_t second =
      simd::drop_fourth_bits(word[2]) | uint64_t{simd::drop_fourth_bits(word[3])} << 24;
#endif
  const uint64_t low = first | second << 48;
  const uint32_t high = uint32_t(second >> 16);
  std::memcpy(to, &low, 8);
  std::memcpy(to + 8, &high, 4);
}

HWY_INLINE void load_low_plane(const std::byte* from, uint32_t ret_word[4]) {
  uint64_t low;
  uint32_t high;
  std::memcpy(&low, from, 8);
  std::memcpy(&high, from + 8, 4);
  const uint64_t half[2] = {low, low >> 48 | uint64_t{high} << 16};
  for (size_t i = 0; i < 2; ++i) {
#if SPECKV_X86_WIDE
    const uint64_t x = _pdep_u64(half[i], 0x7777777777777777);
    const uint64_t four = x | ((x ^ x >> 1 ^ x >> 2) & 0x1111111111111111) << 3;
    ret_word[2 * i] = uint32_t(four);
    ret_word[2 * i + 1] = uint32_t(four >> 32);
#else
    ret_word[2 * i] = simd::restore_fourth_bits(uint32_t(half[i]) & 0xffffff);
    ret_word[2 * i + 1] = simd::restore_fourth_bits(uint32_t(half[i] >> 24) & 0xffffff);
#endif
  }
}

HWY_INLINE void butterfly(V16& a, V16& b) {
  const V16 sum = hn::Add(a, b);
  b = hn::Sub(a, b);
  a = sum;
}

// Exchanges the lane-half bit of the index with the bit that tells a from b.
HWY_INLINE void swap_halves(V16& a, V16& b) {
  const V16 low = hn::ConcatLowerLower(D16(), b, a);
  b = hn::ConcatUpperUpper(D16(), b, a);
  a = low;
}

// Walsh-Hadamard transforms of 64 values: one of 64, two of 32 or four of 16.
HWY_INLINE void transform(V16* v, size_t block) {
  constexpr size_t half = block_vectors / 2;
  if (block == 64) {
    for (size_t i = 0; i < half; ++i) butterfly(v[i], v[i + half]);
  }
  if constexpr (lanes16 == 16) {
    for (size_t i = 0; i < half; ++i) {
      swap_halves(v[i], v[i + half]);
      butterfly(v[i], v[i + half]);
      swap_halves(v[i], v[i + half]);
    }
  } else if (block >= 32) {
    for (size_t i = 0; i < block_vectors; i += 4)
      butterfly(v[i], v[i + 2]), butterfly(v[i + 1], v[i + 3]);
  }
  // The last bit of the vector's number and the three of the lane go round.
  const bool neighbours = lanes16 == 8 || block >= 32;
  for (int turn = 0; turn < 4; ++turn) {
    for (size_t i = 0; i < block_vectors; i += 2) {
      if (turn > 0 || neighbours) butterfly(v[i], v[i + 1]);
      const V16 low = hn::InterleaveLower(D16(), v[i], v[i + 1]);
      v[i + 1] = hn::InterleaveUpper(D16(), v[i], v[i + 1]);
      v[i] = low;
    }
  }
}

// Walks the blocks of one part in the order that fills rows.
class BlockWalk {
 public:
  BlockWalk(const RowqPart& part, const std::byte* base, ptrdiff_t token_stride)
      : token_(base + 2 * part.channel),
        token_stride_(token_stride),
        at_(token_),
        end_(2 * ptrdiff_t(part.block * part.per_token)),
        step_(2 * ptrdiff_t(part.block)) {}
  HWY_INLINE const std::byte* next() {
    const std::byte* block = at_;
    at_ += step_;
    if (at_ - token_ == end_) at_ = token_ += token_stride_;
    return block;
  }

 private:
  const std::byte* token_;
  const ptrdiff_t token_stride_;
  const std::byte* at_;
  const ptrdiff_t end_, step_;
};

template <bool bf16>
HWY_INLINE uint32_t row_field(const std::byte* const runs[2]) {
  const V16 mask = hn::Set(D16(), int16_t{0x7fff});
  V16 top = hn::Zero(D16());
  for (size_t r = 0; r < 2; ++r) {
    for (size_t i = 0; i < block_vectors; ++i) {
      top = hn::Max(top, hn::And(load_bits(runs[r] + 2 * lanes16 * i), mask));
    }
  }
  return largest16(top) >> (bf16 ? 7 : 10);
}

// Nine-bit integers of a row under its exponent field.
template <bool bf16>
HWY_INLINE void load_row(const std::byte* const runs[2], int field, V16* row) {
  const VF factor = hn::Set(DF(), simd::exp2_float(-rowq_exponent_base(bf16) + 1 - field));
  const V16 most = hn::Set(D16(), int16_t{255});
  for (size_t r = 0; r < 2; ++r) {
    for (size_t i = 0; i < block_vectors; ++i) {
      const V16 doubled = load_words<bf16>(runs[r] + 2 * lanes16 * i, factor);
      row[r * block_vectors + i] = halve_words(doubled, most);
    }
  }
}

struct Quads {
  V8 opposite;   // byte i takes byte i^2 of its quad
  V8 neighbour;  // i^1
  V8 rank;       // 3 - i, the smaller index wins a tie
};

HWY_INLINE Quads make_quads() {
  alignas(32) uint8_t opposite[32], neighbour[32], rank[32];
  for (uint8_t i = 0; i < 32; ++i) {
    opposite[i] = (i % 16) ^ 2;
    neighbour[i] = (i % 16) ^ 1;
    rank[i] = 3 - i % 4;
  }
  const D8 d;
  return {hn::Load(d, opposite), hn::Load(d, neighbour), hn::Load(d, rank)};
}

// Makes the lowest bits of every quad of codes even; see golden's make_even().
template <int bits>
HWY_INLINE V8 make_even(V8 code, V8 fraction, const Quads& quads) {
  const D8 d;
  const V8 none = hn::Zero(d), all = hn::Set(d, uint8_t{255});
  const V8 top = hn::Set(d, uint8_t((1 << bits) - 1));
  const auto up_half = hn::Eq(hn::And(fraction, hn::Set(d, uint8_t{64})), hn::Set(d, uint8_t{64}));
  V8 up = hn::VecFromMask(d, up_half);
  const V8 flip = hn::IfThenElse(up_half, hn::Set(d, uint8_t{64}), hn::Set(d, uint8_t{63}));
  V8 merit = hn::Xor(fraction, flip);
  const V8 edge = hn::Or(hn::And(up, hn::VecFromMask(d, hn::Eq(code, top))),
                         hn::AndNot(up, hn::VecFromMask(d, hn::Eq(code, none))));
  merit = hn::AndNot(edge, merit);
  up = hn::Xor(up, edge);
  V8 key = hn::Add(merit, merit);
  key = hn::Or(hn::Add(key, key), quads.rank);
  V8 best = hn::Max(key, hn::TableLookupBytes(key, quads.opposite));
  best = hn::Max(best, hn::TableLookupBytes(best, quads.neighbour));
  V8 parity = hn::Xor(code, hn::TableLookupBytes(code, quads.opposite));
  parity = hn::Xor(parity, hn::TableLookupBytes(parity, quads.neighbour));
  const V8 one = hn::Set(d, uint8_t{1});
  const V8 odd = hn::VecFromMask(d, hn::Eq(hn::And(parity, one), one));
  const V8 chosen = hn::And(odd, hn::VecFromMask(d, hn::Eq(key, best)));
  // +1 = minus all ones where up, -1 = all ones elsewhere
  const V8 step = hn::Or(hn::And(up, one), hn::AndNot(up, all));
  return hn::Add(code, hn::And(chosen, step));
}

// Where one row's parts lie in the page.
struct RowPlanes {
  std::byte* side;
  std::byte* plane[8];  // by bit; plane 0 has 12 bytes a row, the others 16
};

// Writes a row of zeros. Returns: true, as a row that is in range.
template <int bits>
HWY_INLINE bool store_zero_row(const RowPlanes& out) {
  const uint32_t side = rowq_zero_row;
  std::memcpy(out.side, &side, 4);
  std::memset(out.plane[0], 0, 12);
  for (int p = 1; p < bits; ++p) std::memset(out.plane[p], 0, 16);
  return true;
}

// Codes of one group of 32 transformed values; returns the words of its bit planes, [bit].
template <int bits>
HWY_INLINE void quantise_group(const V16* values, uint32_t shift, int width, const Quads& quads,
                               size_t group, const RowPlanes& out, uint32_t* low_word) {
  const D16 d;
  const V16 reciprocal = hn::Set(d, simd::reciprocals[size_t(width)]);
  const V16 middle = hn::Set(d, int16_t(1 << (6 + bits)));
  const V16 cell = hn::Set(d, int16_t{127});
  for (size_t h = 0; h < group_bytes; ++h) {
    V16 fine[2];
    for (size_t i = 0; i < 2; ++i) {
      const V16 scaled = hn::ShiftLeftSame(values[2 * h + i], int(shift));
      fine[i] = hn::Add(hn::MulHigh(scaled, reciprocal), middle);
    }
    const hn::RebindToUnsigned<D16> du;
    const auto code_of = [&](V16 f) {
      return hn::BitCast(d, hn::ShiftRight<7>(hn::BitCast(du, f)));
    };
    const V8 codes = pack_codes(code_of(fine[0]), code_of(fine[1]));
    const V8 fractions = pack_codes(hn::And(fine[0], cell), hn::And(fine[1], cell));
    V8 even = code_order(make_even<bits>(codes, fractions, quads));
    if constexpr (bits < 8) {  // no code reaches into its neighbour's byte
      even = hn::BitCast(D8(), hn::ShiftLeft<8 - bits>(hn::BitCast(du, even)));
    }
    for (int p = bits - 1; p >= 0; --p) {
      const uint32_t word = top_bits(even);
      if (p == 0) *low_word |= lanes8 == 32 ? word : word << (16 * h);
      else std::memcpy(out.plane[p] + 4 * group + 2 * h, &word, lanes8 / 8);
      even = hn::Add(even, even);
    }
  }
}

template <int bits, bool bf16>
HWY_INLINE bool encode_row(const std::byte* const runs[2], size_t block, const Quads& quads,
                           const RowPlanes& out) {
  const int seen = int(row_field<bf16>(runs));
  if (seen >= rowq_field_limit(bf16)) return false;
  const int field = seen < rowq_field_floor(bf16) ? rowq_field_floor(bf16) : seen;
  V16 row[row_vectors];
  load_row<bf16>(runs, field, row);
  transform(row, block);
  transform(row + block_vectors, block);
  uint32_t group_top[4], top = 0;
  for (size_t g = 0; g < 4; ++g) {
    V16 most = hn::Abs(row[g * group_vectors]);
    for (size_t i = 1; i < group_vectors; ++i)
      most = hn::Max(most, hn::Abs(row[g * group_vectors + i]));
    group_top[g] = largest16(most);
    top = top > group_top[g] ? top : group_top[g];
  }
  if (top == 0) return store_zero_row<bits>(out);
  const int kappa = int(std::bit_width(top)) - 8;
  const int exponent = kappa + field + rowq_exponent_base(bf16) - std::countr_zero(uint32_t(block));
  if (exponent > rowq_exponent_max(bf16)) return false;
  uint32_t side = static_cast<uint8_t>(exponent), low_words[4] = {};
  for (size_t g = 0; g < 4; ++g) {
    const uint32_t width = ((group_top[g] << (7 - kappa)) >> (7 + bits)) + 1;
    side |= (width - 1) << (8 + int(g) * rowq_width_bits(bits));
    quantise_group<bits>(row + g * group_vectors, uint32_t(7 - kappa), int(width), quads, g, out,
                         &low_words[g]);
  }
  std::memcpy(out.side, &side, 4);
  store_low_plane(low_words, out.plane[0]);
  return true;
}

template <int bits, bool bf16>
bool encode_page(const PageShape& shape, const ConstView& in, std::byte* out, ptrdiff_t ahead) {
  const Quads quads = make_quads();
  const size_t rows = rowq_rows(shape);
  RowPlanes planes;
  planes.side = out;
  for (int b = 0; b < bits; ++b) planes.plane[b] = out + rowq_plane_offset(rows, bits, b);
  bool accepted = true;
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    BlockWalk walk(part, in.base, in.token_stride);
    for (size_t r = 0; r < part.rows; ++r) {
      alignas(32) std::byte copy[2 * rowq_row];  // of blocks shorter than 64
      const std::byte* runs[2] = {copy, copy + rowq_row};
      for (size_t i = 0; i < rowq_row / part.block; ++i) {
        const std::byte* block = walk.next();
        if (part.block == 64) runs[i] = block;
        else std::memcpy(copy + i * 2 * part.block, block, 2 * part.block);
        if (ahead != 0) __builtin_prefetch(block + ahead, 0, 2);
        if (ahead != 0 && part.block == 64) __builtin_prefetch(block + ahead + 64, 0, 2);
      }
      accepted &= encode_row<bits, bf16>(runs, part.block, quads, planes);
      planes.side += 4;
      planes.plane[0] += 12;
      for (int b = 1; b < bits; ++b) planes.plane[b] += 16;
    }
  }
  return accepted;
}

// One group of 32 codes, times their width: (2 * code + 1 - 2^bits) * width, in word order.
template <int bits>
HWY_INLINE void expand_group(const std::byte* const plane[8], uint32_t low_word, size_t group,
                             int width, const BitSpread& spread, V16* values) {
  const D8 d8;
  for (size_t h = 0; h < group_bytes; ++h) {
    // Signed codes: the highest bit counts -1 where it is clear.
    V8 code = hn::Set(d8, uint8_t{255});
    for (int p = bits - 1; p >= 0; --p) {
      uint32_t word = low_word;
      if (p > 0) std::memcpy(&word, plane[p] + 4 * group, 4);
      const V8 bit = spread(lanes8 == 32 ? word : word >> (16 * h));
      code = p == bits - 1 ? hn::Sub(code, bit) : hn::Sub(hn::Add(code, code), bit);
    }
#if SPECKV_X86_WIDE
    const __m256i weights = _mm256_set1_epi16(int16_t(2 * width | width << 8));
    const __m256i ones = _mm256_set1_epi8(1);
    const __m256i low = _mm256_unpacklo_epi8(code.raw, ones);
    const __m256i high = _mm256_unpackhi_epi8(code.raw, ones);
    values[2 * h] = V16{_mm256_maddubs_epi16(weights, low)};
    values[2 * h + 1] = V16{_mm256_maddubs_epi16(weights, high)};
#else
    const hn::RebindToSigned<D8> di8;
    const hn::Half<decltype(di8)> half;
    const V16 twice = hn::Set(D16(), int16_t(2 * width)), once = hn::Set(D16(), int16_t(width));
    const auto signed_code = hn::BitCast(di8, code);
    const V16 low = hn::PromoteTo(D16(), hn::LowerHalf(half, signed_code));
    const V16 high = hn::PromoteTo(D16(), hn::UpperHalf(half, signed_code));
    values[2 * h] = hn::Add(hn::Mul(low, twice), once);
    values[2 * h + 1] = hn::Add(hn::Mul(high, twice), once);
#endif
  }
}

template <bool bf16, bool stream>
HWY_INLINE void store_run(const V16* values, VF factor, VF bias, std::byte* to) {
  for (size_t i = 0; i < block_vectors; ++i) {
    store_words<bf16, stream>(values[i], factor, bias, to + 2 * lanes16 * i);
  }
}

template <int bits>
HWY_INLINE void expand_row(uint32_t side, const std::byte* const plane[8], size_t block,
                           const BitSpread& spread, V16* row) {
  if ((side & 0xff) == rowq_zero_row) {
    for (size_t i = 0; i < row_vectors; ++i) row[i] = hn::Zero(D16());
    return;
  }
  uint32_t low_words[4];
  load_low_plane(plane[0], low_words);
  constexpr int width_bits = rowq_width_bits(bits);
  for (size_t g = 0; g < 4; ++g) {
    const int width = int(side >> (8 + int(g) * width_bits) & ((1u << width_bits) - 1)) + 1;
    expand_group<bits>(plane, low_words[g], g, width, spread, row + g * group_vectors);
  }
  transform(row, block);
  transform(row + block_vectors, block);
}

template <int bits, bool bf16, bool stream>
void decode_page(const PageShape& shape, const std::byte* in, const View& out) {
  const BitSpread spread = make_spread(true);
  const size_t rows = rowq_rows(shape);
  const std::byte* plane[8];
  for (int b = 0; b < bits; ++b) plane[b] = in + rowq_plane_offset(rows, bits, b);
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    BlockWalk walk(part, out.base, out.token_stride);
    for (size_t r = 0; r < part.rows; ++r, in += 4) {
      uint32_t side;
      std::memcpy(&side, in, 4);
      V16 row[row_vectors];
      expand_row<bits>(side, plane, part.block, spread, row);
      const VF factor = hn::Set(DF(), simd::exp2_float(rowq_decode_exponent(side)));
      const VF bias = words_bias(factor);
      plane[0] += 12;
      for (int b = 1; b < bits; ++b) plane[b] += 16;
      if (part.block == 64) {
        for (size_t i = 0; i < 2; ++i) {
          auto* to = const_cast<std::byte*>(walk.next());
          store_run<bf16, stream>(row + i * block_vectors, factor, bias, to);
        }
        continue;
      }
      alignas(32) std::byte copy[2 * rowq_row];
      store_run<bf16, false>(row, factor, bias, copy);
      store_run<bf16, false>(row + block_vectors, factor, bias, copy + rowq_row);
      for (size_t i = 0; i < rowq_row / part.block; ++i) {
        std::memcpy(const_cast<std::byte*>(walk.next()), copy + i * 2 * part.block, 2 * part.block);
      }
    }
  }
}

template <int bits>
bool encode_bits(const PageShape& shape, const ConstView& in, std::byte* out, ptrdiff_t ahead) {
  return is_bf16(shape.dtype) ? encode_page<bits, true>(shape, in, out, ahead)
                              : encode_page<bits, false>(shape, in, out, ahead);
}

template <int bits>
void decode_bits(const PageShape& shape, const std::byte* in, const View& out, bool stream) {
  if (is_bf16(shape.dtype)) {
    if (stream) decode_page<bits, true, true>(shape, in, out);
    else decode_page<bits, true, false>(shape, in, out);
  } else {
    if (stream) decode_page<bits, false, true>(shape, in, out);
    else decode_page<bits, false, false>(shape, in, out);
  }
}

bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t ahead) {
  switch (bits) {
    case 3:
      return encode_bits<3>(shape, in, out, ahead);
    case 4:
      return encode_bits<4>(shape, in, out, ahead);
    case 5:
      return encode_bits<5>(shape, in, out, ahead);
    case 6:
      return encode_bits<6>(shape, in, out, ahead);
    default:
      return encode_bits<8>(shape, in, out, ahead);
  }
}

void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool stream) {
  switch (bits) {
    case 3:
      return decode_bits<3>(shape, in, out, stream);
    case 4:
      return decode_bits<4>(shape, in, out, stream);
    case 5:
      return decode_bits<5>(shape, in, out, stream);
    case 6:
      return decode_bits<6>(shape, in, out, stream);
    default:
      return decode_bits<8>(shape, in, out, stream);
  }
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(rowq_encode_rows);
HWY_EXPORT(rowq_decode_rows);
namespace simd {

bool rowq_encode_rows(int bits, const PageShape& shape, const ConstView& in, std::byte* out,
                      ptrdiff_t ahead) {
  return HWY_DYNAMIC_DISPATCH(codec::rowq_encode_rows)(bits, shape, in, out, ahead);
}

void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool stream) {
  HWY_DYNAMIC_DISPATCH(codec::rowq_decode_rows)(bits, shape, in, out, stream);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
