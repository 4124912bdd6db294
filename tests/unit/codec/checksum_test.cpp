// SPDX-License-Identifier: Apache-2.0
// Proves that the checksum is what checksum.hpp defines (a bit-by-bit CRC here), that every kernel
// of this CPU gives it, that copies copy, and that no single-bit flip and no truncation goes
// unseen.
#include "codec/checksum.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "codec/checksum_kernels.hpp"

namespace speckv::codec {
namespace {

uint32_t crc_bitwise(uint32_t crc, uint64_t word) {
  for (int bit = 0; bit < 64; ++bit) {
    const uint32_t low = (crc ^ uint32_t(word >> bit)) & 1;
    crc = (crc >> 1) ^ (low != 0 ? 0x82f63b78u : 0);
  }
  return crc;
}

uint64_t by_definition(std::vector<uint8_t> bytes) {
  const uint64_t length = bytes.size();
  bytes.resize((bytes.size() + 31) / 32 * 32);
  uint32_t lane[4] = {~0u, ~0u, ~0u, ~0u};
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, &bytes[i], 8);
    lane[i / 8 % 4] = crc_bitwise(lane[i / 8 % 4], word);
  }
  const auto end = [&](int i) {
    return crc_bitwise(crc_bitwise(crc_bitwise(~0u, lane[i]), lane[i + 1]), length);
  };
  return uint64_t{end(0)} | uint64_t{end(2)} << 32;
}

std::vector<uint8_t> random_bytes(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> bytes(n);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

uint64_t checksum(const std::vector<uint8_t>& bytes) {
  Checksum sum;
  checksum_update(sum, bytes.data(), bytes.size());
  return checksum_final(sum);
}

TEST(Checksum, IsWhatItsDefinitionSays) {
  for (const size_t n : {0, 1, 7, 8, 31, 32, 33, 63, 64, 100, 4096, 4103}) {
    const auto bytes = random_bytes(n, n + 1);
    EXPECT_EQ(checksum(bytes), by_definition(bytes)) << n << " bytes";
  }
}

TEST(Checksum, KnownValues) {
  EXPECT_EQ(crc_bitwise(~0u, 0), 0x73d74d75u);  // CRC-32C register after eight zero bytes
  std::vector<uint8_t> counting(100);
  std::iota(counting.begin(), counting.end(), uint8_t{0});
  EXPECT_EQ(checksum(counting), by_definition(counting));
}

TEST(Checksum, EveryKernelGivesTheSame) {
  const auto bytes = random_bytes(64 * 96, 7);
  const auto* from = reinterpret_cast<const std::byte*>(bytes.data());
  uint32_t expected[4] = {1, 2, 3, 4};
  checksum_kernels().back().feed(expected, {nullptr, 0, from, 96, 64, 64}, false);
  for (const ChecksumKernel& kernel : checksum_kernels()) {
    for (const bool stream : {false, true}) {
      std::vector<uint8_t> copy(64 * 128, 0xee);
      uint32_t lane[4] = {1, 2, 3, 4};
      kernel.feed(lane, {reinterpret_cast<std::byte*>(copy.data()), 128, from, 96, 64, 64}, stream);
      EXPECT_EQ(std::memcmp(lane, expected, sizeof lane), 0) << kernel.name;
      for (size_t row = 0; row < 64; ++row) {
        EXPECT_EQ(std::memcmp(&copy[row * 128], &bytes[row * 96], 64), 0)
            << kernel.name << " row " << row;
        EXPECT_EQ(copy[row * 128 + 64], 0xee) << kernel.name << " wrote past row " << row;
      }
    }
    EXPECT_EQ(kernel.word(5, 0x0123456789abcdef), crc_bitwise(5, 0x0123456789abcdef))
        << kernel.name;
  }
}

TEST(Checksum, CopyCopiesAtEveryAlignmentAndLength) {
  const auto bytes = random_bytes(300, 11);
  for (size_t n = 0; n < 200; n += 13) {
    for (size_t shift = 0; shift < 9; ++shift) {
      for (const bool stream : {false, true}) {
        std::vector<uint8_t> to(320, 0xcc);
        Checksum sum;
        checksum_copy(sum, &to[shift], &bytes[shift], n, stream);
        EXPECT_EQ(std::memcmp(&to[shift], &bytes[shift], n), 0);
        EXPECT_EQ(to[shift + n], 0xcc);
        EXPECT_EQ(checksum_final(sum), by_definition({&bytes[shift], &bytes[shift] + n}));
      }
    }
  }
}

TEST(Checksum, PiecesGiveTheWhole) {
  const auto bytes = random_bytes(1000, 3);
  Checksum sum;
  checksum_update(sum, bytes.data(), 32);
  checksum_update(sum, &bytes[32], 640);
  checksum_update(sum, &bytes[672], 328);
  EXPECT_EQ(checksum_final(sum), checksum(bytes));
}

TEST(Checksum, SeesEveryFlippedBitAndEveryLength) {
  auto bytes = random_bytes(160, 5);
  const uint64_t whole = checksum(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= uint8_t(1 << bit % 8);
    EXPECT_NE(checksum(bytes), whole) << "bit " << bit;
    bytes[bit / 8] ^= uint8_t(1 << bit % 8);
  }
  std::vector<uint8_t> zeros(64);
  EXPECT_NE(checksum(zeros), checksum(std::vector<uint8_t>(63)));
  EXPECT_NE(checksum(zeros), checksum(std::vector<uint8_t>(32)));
}

}  // namespace
}  // namespace speckv::codec
