// SPDX-License-Identifier: Apache-2.0
#include "src/copy.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "shm/layout_math.hpp"

namespace speckv::lib {
namespace {

#if defined(__x86_64__)
// Requires: to is 16-byte aligned and bytes a multiple of 16.
void stream_copy(std::byte* to, const std::byte* from, size_t bytes) {
  size_t at = 0;
  for (; at + 64 <= bytes; at += 64) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at + 16));
    const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at + 32));
    const __m128i d = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at + 48));
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at), a);
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at + 16), b);
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at + 32), c);
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at + 48), d);
  }
  for (; at < bytes; at += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
}

// 8 x 8 values of 16 bits: row r of the result is column r of the source.
void transpose_tile(std::byte* to, ptrdiff_t to_row, const std::byte* from, ptrdiff_t from_row) {
  __m128i a[8], b[8];
  for (int i = 0; i < 8; i++)
    a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * from_row));
  for (int i = 0; i < 4; i++) {
    b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    a[4 * i] = _mm_unpacklo_epi32(b[4 * i], b[4 * i + 2]);
    a[4 * i + 1] = _mm_unpackhi_epi32(b[4 * i], b[4 * i + 2]);
    a[4 * i + 2] = _mm_unpacklo_epi32(b[4 * i + 1], b[4 * i + 3]);
    a[4 * i + 3] = _mm_unpackhi_epi32(b[4 * i + 1], b[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + (2 * i) * to_row),
                     _mm_unpacklo_epi64(a[i], a[i + 4]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + (2 * i + 1) * to_row),
                     _mm_unpackhi_epi64(a[i], a[i + 4]));
  }
}
#else
void stream_copy(std::byte* to, const std::byte* from, size_t bytes) {
  std::memcpy(to, from, bytes);
}

void transpose_tile(std::byte* to, ptrdiff_t to_row, const std::byte* from, ptrdiff_t from_row) {
  for (int row = 0; row < 8; row++)
    for (int column = 0; column < 8; column++)
      std::memcpy(to + row * to_row + column * 2, from + column * from_row + row * 2, 2);
}
#endif

void copy_row(std::byte* to, const std::byte* from, size_t bytes, bool stream) {
  if (stream && bytes % 16 == 0 && reinterpret_cast<uintptr_t>(to) % 16 == 0)
    stream_copy(to, from, bytes);
  else std::memcpy(to, from, bytes);
}

template <typename Value>
void copy_values(std::byte* to, const std::byte* from, uint32_t tokens, uint32_t channels,
                 const speckv_view& view) {
  for (uint32_t token = 0; token < tokens; token++) {
    const std::byte* value = from + int64_t(token) * view.token_stride;
    for (uint32_t channel = 0; channel < channels;
         channel++, value += view.channel_stride, to += sizeof(Value))
      std::memcpy(to, value, sizeof(Value));
  }
}

// Transposed pages are turned in squares that fit the first-level cache beside their source: all
// tokens of one cache line, so that each line of the source is read once. Strides of a power of two
// put its lines into few sets, from where a second look would find them gone.
constexpr uint32_t square_tokens = 32;     // 64 bytes of 16-bit values
constexpr uint32_t square_channels = 128;  // rows of 256 bytes
constexpr uint32_t lines_ahead = 64;       // of the source: a DRAM access takes that many turns
constexpr uint32_t heads_at_once = 16;     // rows written side by side: pages and write buffers

#if defined(__x86_64__)
// 16 tokens of 16 channels, by instructions that not every x86-64 has: half as many as 8 x 8 takes.
// Row r of the result is column r of the source; to and its rows are 32-byte aligned.
[[gnu::target("avx2")]] void transpose_wide(std::byte* to, ptrdiff_t to_row, const std::byte* from,
                                            ptrdiff_t from_row) {
  __m256i a[8], b[8];
  for (int half = 0; half < 2; half++) {  // tokens 0-7, then 8-15; channels 8-15 in upper lanes
    const std::byte* at = from + half * 16;
    for (int i = 0; i < 8; i++) {
      const auto* low = reinterpret_cast<const __m128i*>(at + i * from_row);
      const auto* high = reinterpret_cast<const __m128i*>(at + (i + 8) * from_row);
      a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                     _mm_loadu_si128(high), 1);
    }
    for (int i = 0; i < 4; i++) {
      b[2 * i] = _mm256_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm256_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
      a[4 * i] = _mm256_unpacklo_epi32(b[4 * i], b[4 * i + 2]);
      a[4 * i + 1] = _mm256_unpackhi_epi32(b[4 * i], b[4 * i + 2]);
      a[4 * i + 2] = _mm256_unpacklo_epi32(b[4 * i + 1], b[4 * i + 3]);
      a[4 * i + 3] = _mm256_unpackhi_epi32(b[4 * i + 1], b[4 * i + 3]);
    }
    std::byte* rows = to + half * 8 * to_row;
    for (int i = 0; i < 4; i++) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(rows + (2 * i) * to_row),
                         _mm256_unpacklo_epi64(a[i], a[i + 4]));
      _mm256_store_si256(reinterpret_cast<__m256i*>(rows + (2 * i + 1) * to_row),
                         _mm256_unpackhi_epi64(a[i], a[i + 4]));
    }
  }
}

bool has_wide() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
}
#else
void transpose_wide(std::byte*, ptrdiff_t, const std::byte*, ptrdiff_t) {}
bool has_wide() { return false; }
#endif

// 16 channels at once where the processor can. Returns: how many channels were turned.
uint32_t turn_wide(std::byte* to, const std::byte* from, uint32_t tokens, uint32_t channels,
                   ptrdiff_t channel_stride) {
  constexpr ptrdiff_t row = square_channels * 2;
  if (!has_wide()) return 0;
  uint32_t channel = 0;
  for (; channel + 16 <= channels; channel += 16) {
    const std::byte* lines = from + channel * channel_stride;
    for (uint32_t token = 0; token < tokens; token += 16)  // block_tokens is a multiple of 16
      transpose_wide(to + token * row + channel * 2, row, lines + token * 2, channel_stride);
    for (uint32_t i = 0; i < 16; i++)
      __builtin_prefetch(lines + (i + lines_ahead) * channel_stride);
  }
  return channel;
}

// to: rows of square_channels values. Tokens of the source lie side by side.
void turn_square(std::byte* to, const std::byte* from, uint32_t tokens, uint32_t channels,
                 ptrdiff_t channel_stride) {
  constexpr ptrdiff_t row = square_channels * 2;
  const uint32_t whole = channels / 8 * 8;
  uint32_t channel = turn_wide(to, from, tokens, channels, channel_stride);
  for (; channel < whole; channel += 8) {
    const std::byte* lines = from + channel * channel_stride;
    for (uint32_t token = 0; token < tokens; token += 8)
      transpose_tile(to + token * row + channel * 2, row, lines + token * 2, channel_stride);
    // Hardware follows no stride past a page: lines of this head, or the next, while these are
    // turned.
    for (uint32_t i = 0; i < 8; i++) __builtin_prefetch(lines + (i + lines_ahead) * channel_stride);
  }
  for (; channel < channels; channel++)
    for (uint32_t token = 0; token < tokens; token++)
      std::memcpy(to + token * row + channel * 2, from + channel * channel_stride + token * 2, 2);
}

// 16-bit values of a head whose tokens lie side by side: channel c is a row of the source.
void copy_transposed(std::byte* to, const std::byte* from, uint32_t tokens, uint32_t channels,
                     ptrdiff_t channel_stride, bool stream) {
  alignas(64) std::byte square[square_tokens * square_channels * 2];
  const size_t row_bytes = size_t{channels} * 2;
  for (uint32_t channel = 0; channel < channels; channel += square_channels) {
    const uint32_t wide = std::min(channels - channel, square_channels);
    for (uint32_t token = 0; token < tokens; token += square_tokens) {
      const uint32_t high = std::min(tokens - token, square_tokens);
      turn_square(square, from + channel * channel_stride + token * 2, high, wide, channel_stride);
      for (uint32_t i = 0; i < high; i++)
        copy_row(to + (token + i) * row_bytes + channel * 2, square + i * square_channels * 2,
                 wide * size_t{2}, stream);
    }
  }
}

// Rows of channels, in the order in which they lie in the source: of token-major memory a run of
// heads is one run of bytes. Outputs are then written side by side, so many and no more.
void copy_rows(std::byte* to, const std::byte* from, const speckv_view& view,
               const speckv_layout& layout, int64_t row_bytes, bool stream) {
  const int64_t head_bytes = layout.block_tokens * row_bytes;
  const bool by_token = std::abs(view.token_stride) > std::abs(view.head_stride);
  const uint32_t group = by_token ? heads_at_once : 1;
  for (uint32_t first = 0; first < layout.kv_heads; first += group) {
    const uint32_t end = std::min(layout.kv_heads, first + group);
    for (uint32_t token = 0; token < layout.block_tokens; token++)
      for (uint32_t head = first; head < end; head++)
        copy_row(to + head * head_bytes + token * row_bytes,
                 from + head * view.head_stride + token * view.token_stride, size_t(row_bytes),
                 stream);
  }
}

}  // namespace

void copy_plane(std::byte* to, const speckv_view& view, const speckv_layout& layout, bool stream) {
  const auto* from = static_cast<const std::byte*>(view.base);
  const auto value_bytes = int64_t(shm::value_bytes(layout));
  const int64_t row_bytes = layout.head_dim * value_bytes;
  const int64_t head_bytes = layout.block_tokens * row_bytes;
  const bool rows = view.channel_stride == value_bytes || layout.head_dim == 1;
  const bool dense = rows && view.token_stride == row_bytes;
  if (dense && (view.head_stride == head_bytes || layout.kv_heads == 1)) {
    copy_row(to, from, size_t(layout.kv_heads * head_bytes), stream);
    return;
  }
  if (rows && !dense) return copy_rows(to, from, view, layout, row_bytes, stream);
  for (uint32_t head = 0; head < layout.kv_heads;
       head++, to += head_bytes, from += view.head_stride) {
    if (dense) {
      copy_row(to, from, size_t(head_bytes), stream);
    } else if (value_bytes == 2 && view.token_stride == 2) {
      copy_transposed(to, from, layout.block_tokens, layout.head_dim, view.channel_stride, stream);
    } else if (value_bytes == 2) {
      copy_values<uint16_t>(to, from, layout.block_tokens, layout.head_dim, view);
    } else {
      copy_values<uint8_t>(to, from, layout.block_tokens, layout.head_dim, view);
    }
  }
}

void copy_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace speckv::lib
