// SPDX-License-Identifier: Apache-2.0
#include "codec/checksum_kernels.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace speckv::codec {
namespace {

// Byte-wise tables for eight bytes at a time, of the reflected Castagnoli polynomial 0x82f63b78.
constexpr std::array<std::array<uint32_t, 256>, 8> make_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    tables[0][i] = crc;
  }
  for (size_t t = 1; t < 8; ++t) {
    for (size_t i = 0; i < 256; ++i) {
      const uint32_t before = tables[t - 1][i];
      tables[t][i] = (before >> 8) ^ tables[0][before & 255];
    }
  }
  return tables;
}
constexpr std::array<std::array<uint32_t, 256>, 8> tables = make_tables();

uint32_t word_portable(uint32_t crc, uint64_t word) {
  word ^= crc;
  uint32_t next = 0;
  for (size_t i = 0; i < 8; ++i) next ^= tables[7 - i][(word >> (8 * i)) & 255];
  return next;
}

void feed_portable(uint32_t lane[4], const ChecksumRows& rows, bool /*stream*/) {
  for (size_t r = 0; r < rows.rows; ++r) {
    const std::byte* from = rows.from + ptrdiff_t(r) * rows.from_stride;
    std::byte* to = rows.to == nullptr ? nullptr : rows.to + ptrdiff_t(r) * rows.to_stride;
    for (size_t i = 0; i < rows.row_bytes; i += 32) {
      uint64_t words[4];
      std::memcpy(words, from + i, 32);
      for (size_t j = 0; j < 4; ++j) lane[j] = word_portable(lane[j], words[j]);
      if (to != nullptr) std::memcpy(to + i, words, 32);
    }
  }
}

#if defined(__x86_64__)
#define SPECKV_CRC_TARGET __attribute__((target("sse4.2")))

SPECKV_CRC_TARGET uint32_t word_sse42(uint32_t crc, uint64_t word) {
  return static_cast<uint32_t>(_mm_crc32_u64(crc, word));
}

enum class Move { none, copy, stream };

template <Move move>
SPECKV_CRC_TARGET inline void feed_rows_sse42(uint32_t lane[4], const ChecksumRows& rows) {
  constexpr size_t ahead =
      512;  // bytes; about what one core streams in a memory latency over its open lines
  uint64_t a = lane[0], b = lane[1], c = lane[2], d = lane[3];
  for (size_t r = 0; r < rows.rows; ++r) {
    const std::byte* from = rows.from + ptrdiff_t(r) * rows.from_stride;
    std::byte* to = move == Move::none ? nullptr : rows.to + ptrdiff_t(r) * rows.to_stride;
    for (size_t i = 0; i < rows.row_bytes; i += 32) {
      long long words[4];
      std::memcpy(words, from + i, 32);
      if ((i & 63) == 0) _mm_prefetch(reinterpret_cast<const char*>(from + i + ahead), _MM_HINT_T0);
      a = _mm_crc32_u64(a, static_cast<uint64_t>(words[0]));
      b = _mm_crc32_u64(b, static_cast<uint64_t>(words[1]));
      c = _mm_crc32_u64(c, static_cast<uint64_t>(words[2]));
      d = _mm_crc32_u64(d, static_cast<uint64_t>(words[3]));
      if constexpr (move == Move::stream) {
        auto* target = reinterpret_cast<long long*>(to + i);
        for (size_t j = 0; j < 4; ++j) _mm_stream_si64(target + j, words[j]);
      } else if constexpr (move == Move::copy) {
        std::memcpy(to + i, words, 32);
      }
    }
  }
  lane[0] = uint32_t(a), lane[1] = uint32_t(b), lane[2] = uint32_t(c), lane[3] = uint32_t(d);
}

SPECKV_CRC_TARGET void feed_sse42(uint32_t lane[4], const ChecksumRows& rows, bool stream) {
  const bool aligned =
      ((reinterpret_cast<uintptr_t>(rows.to) | static_cast<uintptr_t>(rows.to_stride)) & 7) == 0;
  if (rows.to == nullptr) feed_rows_sse42<Move::none>(lane, rows);
  else if (stream && aligned) feed_rows_sse42<Move::stream>(lane, rows);
  else feed_rows_sse42<Move::copy>(lane, rows);
}

constexpr ChecksumKernel fast_kernel{"sse4.2", feed_sse42, word_sse42};
bool fast_runs() { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__)
#define SPECKV_CRC_TARGET __attribute__((target("+crc")))

SPECKV_CRC_TARGET uint32_t word_arm(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }

SPECKV_CRC_TARGET void feed_arm(uint32_t lane[4], const ChecksumRows& rows, bool /*stream*/) {
  uint32_t a = lane[0], b = lane[1], c = lane[2], d = lane[3];
  for (size_t r = 0; r < rows.rows; ++r) {
    const std::byte* from = rows.from + ptrdiff_t(r) * rows.from_stride;
    std::byte* to = rows.to == nullptr ? nullptr : rows.to + ptrdiff_t(r) * rows.to_stride;
    for (size_t i = 0; i < rows.row_bytes; i += 32) {
      uint64_t words[4];
      std::memcpy(words, from + i, 32);
      a = __crc32cd(a, words[0]), b = __crc32cd(b, words[1]);
      c = __crc32cd(c, words[2]), d = __crc32cd(d, words[3]);
      if (to != nullptr) std::memcpy(to + i, words, 32);
    }
  }
  lane[0] = a, lane[1] = b, lane[2] = c, lane[3] = d;
}

constexpr ChecksumKernel fast_kernel{"crc", feed_arm, word_arm};
bool fast_runs() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#endif

constexpr ChecksumKernel portable_kernel{"portable", feed_portable, word_portable};

}  // namespace

std::span<const ChecksumKernel> checksum_kernels() {
#if defined(__x86_64__) || defined(__aarch64__)
  static const ChecksumKernel all[] = {fast_kernel, portable_kernel};
  static const size_t skipped = fast_runs() ? 0 : 1;
  return std::span(all).subspan(skipped);
#else
  static const ChecksumKernel all[] = {portable_kernel};
  return all;
#endif
}

void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace speckv::codec
