// SPDX-License-Identifier: Apache-2.0
// simd_rowq-inl.h - what rowq's encoder and decoder share, once per vector target: the transform,
// plane 0 and the walk over a page's blocks. golden_rowq.cpp says what they compute.
//
// A row is eight vectors of sixteen 16-bit integers (sixteen of eight on 16-byte targets). The
// transform needs no permutation of its own: interleaving two vectors rotates the bits of the
// value's index through the lanes, and after a full turn every value is back in its place.
#if defined(SPECKV_CODEC_SIMD_ROWQ_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SPECKV_CODEC_SIMD_ROWQ_INL_H_
#undef SPECKV_CODEC_SIMD_ROWQ_INL_H_
#else
#define SPECKV_CODEC_SIMD_ROWQ_INL_H_
#endif

#include <bit>
#include <cstring>

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

}  // namespace speckv::codec::simd
#endif
HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
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

// Changes the signs of half a row's values where bits are set; values in word order.
HWY_INLINE void change_signs(V16* values, uint64_t signs) {
  const D16 d;
  alignas(32) static constexpr uint16_t in_word_order[16] = {
      1, 2, 4, 8, 256, 512, 1024, 2048, 16, 32, 64, 128, 4096, 8192, 16384, 32768};
  alignas(32) static constexpr uint16_t in_order[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const hn::RebindToUnsigned<D16> du;
  const auto own = hn::Load(du, lanes16 == 16 ? in_word_order : in_order);
  for (size_t i = 0; i < block_vectors; ++i, signs >>= lanes16 % 64) {
    const auto set = hn::TestBit(hn::Set(du, uint16_t(signs)), own);
    const V16 changed = hn::BitCast(d, hn::VecFromMask(du, set));
    values[i] = hn::Sub(hn::Xor(values[i], changed), changed);
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

// The rows of one part, to be encoded: two runs of 64 values, copied together where blocks are
// shorter. `ahead`, if any: how far the same block of the page to be encoded next lies, to fetch.
class RowWalk {
 public:
  HWY_INLINE RowWalk(const RowqPart& part, const ConstView& in, ptrdiff_t ahead)
      : blocks_(part, in.base, in.token_stride), block_(part.block), ahead_(ahead) {}
  HWY_INLINE const std::byte* const* next() {
    for (size_t i = 0; i < rowq_row / block_; ++i) {
      const std::byte* block = blocks_.next();
      if (block_ == 64) runs_[i] = block;
      else std::memcpy(copy_ + i * 2 * block_, block, 2 * block_);
      if (ahead_ == 0) continue;
      __builtin_prefetch(block + ahead_, 0, 2);
      if (block_ == 64) __builtin_prefetch(block + ahead_ + 64, 0, 2);
    }
    return runs_;
  }

 private:
  BlockWalk blocks_;
  const size_t block_;
  const ptrdiff_t ahead_;
  alignas(64) std::byte copy_[2 * rowq_row];
  const std::byte* runs_[2] = {copy_, copy_ + rowq_row};
};

// Where one row's parts lie in the page.
struct RowPlanes {
  std::byte* side;
  std::byte* plane[8];  // by bit; plane 0 has 12 bytes a row, the others 16

  HWY_INLINE RowPlanes(int bits, const PageShape& shape, std::byte* page) : side(page) {
    for (int b = 0; b < 8; ++b)
      plane[b] = page + (b < bits ? rowq_plane_offset(rowq_rows(shape), bits, b) : 0);
  }
  HWY_INLINE void next_row() {
    side += 4;
    plane[0] += 12;
    for (int b = 1; b < 8; ++b) plane[b] += 16;
  }
};

// Writes a row of zeros. Returns: true, as a row that is in range.
HWY_INLINE bool store_zero_row(int bits, const RowPlanes& out) {
  const uint32_t side = rowq_zero_row;
  std::memcpy(out.side, &side, 4);
  std::memset(out.plane[0], 0, 12);
  for (int p = 1; p < bits; ++p) std::memset(out.plane[p], 0, 16);
  return true;
}
#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // SPECKV_CODEC_SIMD_ROWQ_INL_H_
