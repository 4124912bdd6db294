// SPDX-License-Identifier: Apache-2.0
// simd_rowq.cpp - rowq's inner loops for every vector target; golden_rowq.cpp says what they compute.
//
// A row is eight vectors of sixteen 16-bit integers (sixteen of eight on 16-byte targets). The transform needs no
// permutation of its own: interleaving two vectors rotates the bits of the value's index through the lanes, and after a
// full turn every value is back in its place. Codes are bytes from the quantiser on: the lattice step and the bit planes
// take 32 at once.
#include "codec/simd_rowq.hpp"

#include <bit>
#include <cstring>

#include "codec/golden.hpp"
#include "codec/half.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_rowq.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "codec/simd_half-inl.h"

#ifndef SPECKV_CODEC_SIMD_ROWQ_ONCE_
#define SPECKV_CODEC_SIMD_ROWQ_ONCE_
namespace speckv::codec::simd {

inline float exp2_float(int e) { return std::bit_cast<float>(uint32_t(e + 127) << 23); }

// 2^e as a float's bits for a stored exponent byte; -127 is the one that needs a subnormal.
inline uint32_t float_bits_of_exponent(int e) { return e < -126 ? 1u << 22 : uint32_t(e + 127) << 23; }

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

inline void store_low_plane(const uint32_t word[4], std::byte* to) {
  const uint64_t low = uint64_t{drop_fourth_bits(word[0])} |
                       uint64_t{drop_fourth_bits(word[1])} << 24 |
                       uint64_t{drop_fourth_bits(word[2])} << 48;
  const uint32_t high = drop_fourth_bits(word[2]) >> 16 | drop_fourth_bits(word[3]) << 8;
  std::memcpy(to, &low, 8);
  std::memcpy(to + 8, &high, 4);
}
inline void load_low_plane(const std::byte* from, uint32_t ret_word[4]) {
  uint64_t low;
  uint32_t high;
  std::memcpy(&low, from, 8);
  std::memcpy(&high, from + 8, 4);
  ret_word[0] = restore_fourth_bits(uint32_t(low) & 0xffffff);
  ret_word[1] = restore_fourth_bits(uint32_t(low >> 24) & 0xffffff);
  ret_word[2] = restore_fourth_bits((uint32_t(low >> 48) | high << 16) & 0xffffff);
  ret_word[3] = restore_fourth_bits(high >> 8);
}

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
    for (size_t i = 0; i < block_vectors; i += 4) butterfly(v[i], v[i + 2]), butterfly(v[i + 1], v[i + 3]);
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

// A row's 128 values in memory order, copied together where its blocks are shorter than 64.
class RowSource {
 public:
  RowSource(const RowqPart& part, const ConstView& in) : part_(part), in_(in) {}
  // Two runs of 64 values.
  HWY_INLINE void find(size_t row, const std::byte* ret_runs[2]) {
    if (part_.block == 64) {
      ret_runs[0] = block(2 * row);
      ret_runs[1] = block(2 * row + 1);
      return;
    }
    const size_t blocks = rowq_row / part_.block;
    for (size_t i = 0; i < blocks; ++i) {
      std::memcpy(copy_ + i * 2 * part_.block, block(row * blocks + i), 2 * part_.block);
    }
    ret_runs[0] = copy_;
    ret_runs[1] = copy_ + 128;
  }
  HWY_INLINE const std::byte* block(size_t i) const {
    const size_t token = i / part_.per_token;
    const size_t channel = part_.channel + i % part_.per_token * part_.block;
    return in_.base + ptrdiff_t(token) * in_.token_stride + 2 * channel;
  }

 private:
  const RowqPart part_;
  const ConstView in_;
  alignas(32) std::byte copy_[2 * rowq_row];
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
  const V16 one = hn::Set(D16(), int16_t{1}), most = hn::Set(D16(), int16_t{255});
  for (size_t r = 0; r < 2; ++r) {
    for (size_t i = 0; i < block_vectors; ++i) {
      const std::byte* from = runs[r] + 2 * lanes16 * i;
      const V16 doubled = scaled_size<bf16>(from, factor);
      const V16 size = hn::Min(hn::ShiftRight<1>(hn::Add(doubled, one)), most);
      row[r * block_vectors + i] = with_sign(size, load_bits(from));
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
  const V16 reciprocal = hn::Set(d, int16_t(32767 / width));
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
    const V8 codes = pack16(code_of(fine[0]), code_of(fine[1]));
    const V8 fractions = pack16(hn::And(fine[0], cell), hn::And(fine[1], cell));
    V8 even = make_even<bits>(codes, fractions, quads);
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
    for (size_t i = 1; i < group_vectors; ++i) most = hn::Max(most, hn::Abs(row[g * group_vectors + i]));
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
  simd::store_low_plane(low_words, out.plane[0]);
  return true;
}

template <int bits, bool bf16>
bool encode_page(const PageShape& shape, const ConstView& in, std::byte* out, ptrdiff_t ahead) {
  const Quads quads = make_quads();
  const size_t rows = rowq_rows(shape);
  bool accepted = true;
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    RowSource source(part, in);
    for (size_t r = 0; r < part.rows; ++r) {
      const size_t row = part.first_row + r;
      RowPlanes planes;
      planes.side = out + 4 * row;
      planes.plane[0] = out + rowq_plane_offset(rows, bits, 0) + 12 * row;
      for (int b = 1; b < bits; ++b) {
        planes.plane[b] = out + rowq_plane_offset(rows, bits, b) + 16 * row;
      }
      const std::byte* runs[2];
      source.find(r, runs);
      if (ahead != 0 && part.block == 64) {
        for (const std::byte* run : runs) {
          __builtin_prefetch(run + ahead, 0, 2);
          __builtin_prefetch(run + ahead + 64, 0, 2);
        }
      }
      accepted &= encode_row<bits, bf16>(runs, part.block, quads, planes);
    }
  }
  return accepted;
}

// Spreads the bits of a plane's word over bytes: all ones where set.
struct BitSpread {
  V8 which, mask;
  HWY_INLINE V8 operator()(uint32_t word) const {
    const hn::Repartition<uint32_t, D8> dw;
    const V8 bytes = hn::TableLookupBytes(hn::BitCast(D8(), hn::Set(dw, word)), which);
    return hn::VecFromMask(D8(), hn::Eq(hn::And(bytes, mask), mask));
  }
};

HWY_INLINE BitSpread make_spread() {
  alignas(32) uint8_t which[32], mask[32];
  for (uint8_t i = 0; i < 32; ++i) {
    which[i] = i / 8;
    mask[i] = uint8_t(1 << (i % 8));
  }
  return {hn::Load(D8(), which), hn::Load(D8(), mask)};
}

// One group of 32 codes, times their width.
template <int bits>
HWY_INLINE void expand_group(const std::byte* const plane[8], uint32_t low_word, size_t group,
                             int width, const BitSpread& spread, V16* values) {
  const D16 d;
  const hn::Half<D8> half;
  const V16 twice = hn::Set(d, int16_t(2 * width)), least = hn::Set(d, int16_t((1 - (1 << bits)) * width));
  for (size_t h = 0; h < group_bytes; ++h) {
    V8 code = hn::Zero(D8());
    for (int p = bits - 1; p >= 0; --p) {
      uint32_t word = low_word;
      if (p > 0) std::memcpy(&word, plane[p] + 4 * group, 4);
      code = hn::Sub(hn::Add(code, code), spread(lanes8 == 32 ? word : word >> (16 * h)));
    }
    const V16 low = hn::PromoteTo(d, hn::LowerHalf(half, code));
    const V16 high = hn::PromoteTo(d, hn::UpperHalf(half, code));
    values[2 * h] = hn::Add(hn::Mul(low, twice), least);
    values[2 * h + 1] = hn::Add(hn::Mul(high, twice), least);
  }
}

template <bool bf16, bool stream>
HWY_INLINE void store_run(const V16* values, VF factor, std::byte* to) {
  const hn::Half<D16> half;
  for (size_t i = 0; i < block_vectors; ++i) {
    const V32 low = hn::PromoteTo(D32(), hn::LowerHalf(half, values[i]));
    const V32 high = hn::PromoteTo(D32(), hn::UpperHalf(half, values[i]));
    store_scaled<bf16, stream>(low, high, factor, to + 2 * lanes16 * i);
  }
}

template <int bits>
HWY_INLINE void expand_row(uint32_t side, const std::byte* const plane[8], size_t block,
                           const BitSpread& spread, V16* row) {
  uint32_t low_words[4];
  simd::load_low_plane(plane[0], low_words);
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
  const BitSpread spread = make_spread();
  const size_t rows = rowq_rows(shape);
  for (int p = 0; p < 3; ++p) {
    const RowqPart part = rowq_part(shape, p);
    const RowSource place(part, {out.base, out.token_stride, 2});
    for (size_t r = 0; r < part.rows; ++r) {
      const size_t at = part.first_row + r;
      const std::byte* plane[8];
      plane[0] = in + rowq_plane_offset(rows, bits, 0) + 12 * at;
      for (int b = 1; b < bits; ++b) plane[b] = in + rowq_plane_offset(rows, bits, b) + 16 * at;
      uint32_t side;
      std::memcpy(&side, in + 4 * at, 4);
      V16 row[row_vectors];
      VF factor = hn::Zero(DF());
      if ((side & 0xff) == rowq_zero_row) {
        for (V16& v : row) v = hn::Zero(D16());
      } else {
        expand_row<bits>(side, plane, part.block, spread, row);
        factor = hn::Set(DF(), std::bit_cast<float>(simd::float_bits_of_exponent(static_cast<int8_t>(side))));
      }
      if (part.block == 64) {
        for (size_t i = 0; i < 2; ++i) {
          auto* to = const_cast<std::byte*>(place.block(2 * r + i));
          store_run<bf16, stream>(row + i * block_vectors, factor, to);
        }
        continue;
      }
      alignas(32) std::byte copy[2 * rowq_row];
      store_run<bf16, false>(row, factor, copy);
      store_run<bf16, false>(row + block_vectors, factor, copy + rowq_row);
      const size_t blocks = rowq_row / part.block;
      for (size_t i = 0; i < blocks; ++i) {
        std::memcpy(const_cast<std::byte*>(place.block(r * blocks + i)), copy + i * 2 * part.block,
                    2 * part.block);
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
    case 3: return encode_bits<3>(shape, in, out, ahead);
    case 4: return encode_bits<4>(shape, in, out, ahead);
    case 5: return encode_bits<5>(shape, in, out, ahead);
    case 6: return encode_bits<6>(shape, in, out, ahead);
    default: return encode_bits<8>(shape, in, out, ahead);
  }
}

void rowq_decode_rows(int bits, const PageShape& shape, const std::byte* in, const View& out,
                      bool stream) {
  switch (bits) {
    case 3: return decode_bits<3>(shape, in, out, stream);
    case 4: return decode_bits<4>(shape, in, out, stream);
    case 5: return decode_bits<5>(shape, in, out, stream);
    case 6: return decode_bits<6>(shape, in, out, stream);
    default: return decode_bits<8>(shape, in, out, stream);
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
