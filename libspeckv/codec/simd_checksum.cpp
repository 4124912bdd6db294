// SPDX-License-Identifier: Apache-2.0
// simd_checksum.cpp - the checksum's beats for every vector target; golden_checksum.cpp says what
// they compute.
//
// A beat is one vector of 32 bytes, or two of 16. Sums and products wait one addition for the beat
// before, so six operations a beat set the pace: 1.5 cycles on a core with four vector units,
// hardly more than a copy needs.
#include "codec/simd_checksum.hpp"

#include "codec/golden.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/simd_checksum.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace speckv::codec::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

enum class Move { none, copy, stream };

#if HWY_TARGET == HWY_SCALAR
template <Move move, bool late = false>
void feed_rows(Checksum& state, const ChecksumRows& rows) {
  for (size_t r = 0; r < rows.rows; ++r) {
    const std::byte* from = rows.from + ptrdiff_t(r) * rows.from_stride;
    std::byte* to = move == Move::none ? nullptr : rows.to + ptrdiff_t(r) * rows.to_stride;
    for (size_t i = 0; i < rows.row_bytes; i += checksum_beat) {
      std::byte beat[checksum_beat];
      std::memcpy(beat, from + i, checksum_beat);
      golden::sum_beat(state, beat);
      if (move != Move::none) std::memcpy(to + i, beat, checksum_beat);
    }
  }
}
#else
using D64 = hn::CappedTag<uint64_t, checksum_lanes>;
using D32 = hn::Repartition<uint32_t, D64>;
using V64 = hn::Vec<D64>;
constexpr size_t lanes = hn::MaxLanes(D64());
constexpr size_t vectors = checksum_lanes / lanes;

// The compiler may not load the vector again from memory that somebody may have changed.
HWY_INLINE void loaded_once(V64& v) {
#if HWY_TARGET == HWY_EMU128
  asm("" : "+m"(v.raw));  // an array there
#elif HWY_ARCH_X86
  asm("" : "+x"(v.raw));
#elif HWY_ARCH_ARM
  asm("" : "+w"(v.raw));
#endif
}

struct Lanes {
  V64 sum[vectors], product[vectors], mask[vectors];
};

template <Move move>
HWY_INLINE void feed_beat(Lanes& state, const std::byte* from, std::byte* to) {
  const D64 d;
  for (size_t i = 0; i < vectors; ++i) {
    V64 word = hn::LoadU(d, reinterpret_cast<const uint64_t*>(from) + i * lanes);
    loaded_once(word);
    if constexpr (move != Move::none) {
      auto* target = reinterpret_cast<uint64_t*>(to) + i * lanes;
      if constexpr (move == Move::stream) hn::Stream(word, d, target);
      else hn::StoreU(word, d, target);
    }
    V64& sum = state.sum[i];
    sum = hn::Add(sum, hn::Add(word, hn::Set(d, checksum_step)));
    const V64 masked = hn::Xor(sum, state.mask[i]);
    const auto low = hn::BitCast(D32(), masked);
    const auto high = hn::BitCast(D32(), hn::ShiftRight<32>(masked));
    state.product[i] = hn::Add(state.product[i], hn::MulEven(low, high));
  }
}

// Reading 2 KiB ahead is worth a quarter over reading on demand (Zen 3, 1 MiB objects out of 128
// MiB). What is read late goes into the second-level cache: more lines on their way to the first
// than it has fill buffers hold up the streamed stores of a decoder, too (Sapphire Rapids).
template <Move move, bool late = false>
void feed_rows(Checksum& checksum, const ChecksumRows& rows) {
  constexpr size_t ahead_bytes = 2048;
  const ptrdiff_t ahead = rows.rows == 1 || rows.row_bytes >= ahead_bytes
                              ? ptrdiff_t{ahead_bytes}
                              : ptrdiff_t(ahead_bytes / rows.row_bytes) * rows.from_stride;
  const D64 d;
  Lanes state;
  // A fresh state was stored in smaller pieces a moment ago: to load it as vectors would wait until
  // all stores before it have reached the cache.
  const uint64_t* sums = checksum.bytes == 0 ? checksum_start : checksum.sum;
  for (size_t i = 0; i < vectors; ++i) {
    state.sum[i] = hn::LoadU(d, sums + i * lanes);
    state.product[i] =
        checksum.bytes == 0 ? hn::Zero(d) : hn::LoadU(d, checksum.product + i * lanes);
    state.mask[i] = hn::LoadU(d, checksum_mask + i * lanes);
  }
  for (size_t r = 0; r < rows.rows; ++r) {
    const std::byte* from = rows.from + ptrdiff_t(r) * rows.from_stride;
    std::byte* to = move == Move::none ? nullptr : rows.to + ptrdiff_t(r) * rows.to_stride;
    const auto feed = [&](size_t at) {
      feed_beat<move>(state, from + at, move == Move::none ? nullptr : to + at);
    };
    size_t i = 0;
    for (; i + 2 * checksum_beat <= rows.row_bytes; i += 2 * checksum_beat) {
      __builtin_prefetch(from + i + ahead, 0, late ? 2 : 3);
      feed(i);
      feed(i + checksum_beat);
    }
    if (i < rows.row_bytes) feed(i);
  }
  for (size_t i = 0; i < vectors; ++i) {
    hn::StoreU(state.sum[i], d, checksum.sum + i * lanes);
    hn::StoreU(state.product[i], d, checksum.product + i * lanes);
  }
}
#endif

void checksum_feed(Checksum& state, const ChecksumRows& rows) {
  const auto to = reinterpret_cast<uintptr_t>(rows.to) | static_cast<uintptr_t>(rows.to_stride);
  if (rows.to == nullptr && rows.late) feed_rows<Move::none, true>(state, rows);
  else if (rows.to == nullptr) feed_rows<Move::none>(state, rows);
  else if (rows.stream && to % checksum_beat == 0) feed_rows<Move::stream>(state, rows);
  else feed_rows<Move::copy>(state, rows);
}

}  // namespace speckv::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace speckv::codec {
HWY_EXPORT(checksum_feed);
namespace simd {

void checksum_feed(Checksum& state, const ChecksumRows& rows) {
  HWY_DYNAMIC_DISPATCH(checksum_feed)(state, rows);
}

}  // namespace simd
}  // namespace speckv::codec
#endif
