// SPDX-License-Identifier: Apache-2.0
// Proves that the checksum is what docs/codec.md §8 defines (written once more here), that every
// vector target gives it, that copies copy what they summed, even from a source that changes, and
// that what can happen to stored bytes does not go unseen: flipped bits (each one, certain; pairs),
// bursts, lines that stay old, move, swap places or read as zeros, and truncations.
#include "codec/checksum.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <numeric>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "codec/golden.hpp"
#include "codec/stream.hpp"
#include "targets.hpp"

namespace speckv::codec {
namespace {

uint64_t by_definition(std::vector<uint8_t> bytes) {
  const uint64_t length = bytes.size();
  bytes.resize((bytes.size() + 31) / 32 * 32);
  uint64_t sum[4] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                     0xa54ff53a5f1d36f1};
  const uint64_t mask[4] = {0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
                            0xd807aa98a3030242};
  uint64_t product[4] = {};
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, &bytes[i], 8);
    const size_t lane = i / 8 % 4;
    sum[lane] += word + 0x9e3779b97f4a7c15;
    const uint64_t t = sum[lane] ^ mask[lane];
    product[lane] += (t % (uint64_t{1} << 32)) * (t >> 32);
  }
  const auto fold = [](uint64_t word) { return word ^ word >> 32; };
  const uint64_t low = sum[0] * 0x510e527fade682d1 + sum[1] * 0x9b05688c2b3e6c1f +
                       sum[2] * 0x1f83d9abfb41bd6b + sum[3] * 0x5be0cd19137e2179;
  const uint64_t high = fold(product[0]) * 0x428a2f98d728ae23 +
                        fold(product[1]) * 0x7137449123ef65cd +
                        fold(product[2]) * 0xb5c0fbcfec4d3b2f +
                        fold(product[3]) * 0xe9b5dba58189dbbd + length * 0x3956c25bf348b539;
  return (low >> 32) | (high >> 32 << 32);
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
  testing::for_each_target([](const std::string& target) {
    for (const size_t n : {0, 1, 7, 8, 31, 32, 33, 63, 64, 96, 100, 4096, 4103}) {
      const auto bytes = random_bytes(n, n + 1);
      EXPECT_EQ(checksum(bytes), by_definition(bytes)) << n << " bytes on " << target;
    }
  });
}

TEST(Checksum, KnownValues) {
  EXPECT_EQ(checksum({}), 0x00000000fd1f2b6du);
  EXPECT_EQ(checksum(std::vector<uint8_t>(4096)), 0x7028dc51eb78a02fu);
  std::vector<uint8_t> counting(100);
  std::iota(counting.begin(), counting.end(), uint8_t{0});
  EXPECT_EQ(checksum(counting), 0xfc90593d35629086u);
}

TEST(Checksum, EveryTargetGivesTheGoldenModelsLanes) {
  const auto bytes = random_bytes(64 * 96, 7);
  const auto* from = reinterpret_cast<const std::byte*>(bytes.data());
  Checksum expected;
  for (size_t row = 0; row < 64; ++row) {
    golden::sum_beat(expected, from + 96 * row);
    golden::sum_beat(expected, from + 96 * row + 32);
  }
  testing::for_each_target([&](const std::string& target) {
    for (const bool stream : {false, true}) {
      std::vector<uint8_t> copy(64 * 128, 0xee);
      Checksum sum;
      checksum_rows(sum,
                    {reinterpret_cast<std::byte*>(copy.data()), 128, from, 96, 64, 64, stream});
      stream_fence();
      EXPECT_EQ(std::memcmp(sum.sum, expected.sum, sizeof sum.sum), 0) << target;
      EXPECT_EQ(std::memcmp(sum.product, expected.product, sizeof sum.product), 0) << target;
      for (size_t row = 0; row < 64; ++row) {
        EXPECT_EQ(std::memcmp(&copy[row * 128], &bytes[row * 96], 64), 0)
            << target << " row " << row;
        EXPECT_EQ(copy[row * 128 + 64], 0xee) << target << " wrote past row " << row;
      }
    }
  });
}

void copy(Checksum& sum, uint8_t* to, const uint8_t* from, size_t n, bool stream) {
  checksum_rows(sum, {reinterpret_cast<std::byte*>(to), 0, reinterpret_cast<const std::byte*>(from),
                      0, n, 1, stream});
  if (stream) stream_fence();
}

TEST(Checksum, CopyCopiesAtEveryAlignmentAndLength) {
  const auto bytes = random_bytes(300, 11);
  for (size_t n = 32; n < 288; n += 32) {
    for (size_t shift = 0; shift < 9; ++shift) {
      for (const bool stream : {false, true}) {
        std::vector<uint8_t> to(320, 0xcc);
        Checksum sum;
        copy(sum, &to[shift], &bytes[shift], n, stream);
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

// The daemon encodes raw segments straight from memory that a client may write at any moment.
// A race on purpose, so not for ThreadSanitizer.
#if !defined(__SANITIZE_THREAD__)
TEST(Checksum, SumsWhatItCopiesWhileTheSourceChanges) {
  std::vector<uint8_t> from(16384), to(16384);
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    volatile uint8_t* bytes = from.data();
    for (uint8_t value = 0; !stop.load(std::memory_order_relaxed); ++value)
      for (size_t i = 0; i < from.size(); ++i) bytes[i] = value;
  });
  for (int i = 0; i < 2000; ++i) {
    Checksum sum;
    copy(sum, to.data(), from.data(), to.size(), i % 2 != 0);
    ASSERT_EQ(checksum_final(sum), checksum(to)) << "copy " << i;
  }
  stop = true;
  scribbler.join();
}
#endif

// A flip changes one lane's sum by 2^b; times the lane's factor that is never within 2^32 of a
// multiple of 2^64, so the low half changes. By arithmetic for every page, by trial for some.
TEST(Checksum, SeesEverySingleBit) {
  for (const uint64_t factor : checksum_sum_factor) {
    for (int bit = 0; bit < 64; ++bit) {
      const uint64_t change = factor << bit;
      const uint64_t distance = std::min(change, ~change + 1);
      EXPECT_GE(distance, uint64_t{1} << 32) << std::hex << factor << " bit " << bit;
    }
  }
  for (const uint64_t seed : {0, 1, 2}) {
    auto bytes = seed == 0 ? std::vector<uint8_t>(2112) : random_bytes(2112, seed);
    const uint64_t whole = checksum(bytes);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] ^= uint8_t(1 << bit % 8);
      ASSERT_NE(uint32_t(checksum(bytes)), uint32_t(whole)) << "bit " << bit;
      bytes[bit / 8] ^= uint8_t(1 << bit % 8);
    }
  }
}

// Pages that real damage is made of: noise, zeros, and codes of few bits that repeat.
std::vector<uint8_t> page_of(uint64_t kind, uint64_t seed) {
  auto bytes = random_bytes(4096, seed);
  if (kind % 3 == 1) std::fill(bytes.begin(), bytes.end(), uint8_t{0});
  if (kind % 3 == 2)
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = (seed + i) % 5 < 2 ? 0xff : 0x00;
  return bytes;
}

TEST(Checksum, SeesPairsOfBitsAndBursts) {
  std::mt19937_64 random(20261124);
  for (uint64_t trial = 0; trial < 15000; ++trial) {
    auto bytes = page_of(trial, trial);
    const uint64_t whole = checksum(bytes);
    const size_t first = random() % 32768;
    // the second in the same lane and place as often as not: there the sums may cancel
    const size_t second =
        trial % 2 != 0 ? random() % 32768 : (first + 256 * (1 + random() % 127)) % 32768;
    bytes[first / 8] ^= uint8_t(1 << first % 8);
    if (second != first) bytes[second / 8] ^= uint8_t(1 << second % 8);
    ASSERT_NE(checksum(bytes), whole) << "bits " << first << " and " << second;
    const size_t from = random() % 4096, n = std::min<size_t>(1 + random() % 64, 4096 - from);
    const auto before = bytes;
    for (size_t i = from; i < from + n; ++i) bytes[i] = uint8_t(random());
    if (bytes != before) {
      ASSERT_NE(checksum(bytes), checksum(before)) << "burst at " << from;
    }
  }
}

TEST(Checksum, SeesLinesThatAreOldMovedOrZero) {
  std::mt19937_64 random(7);
  for (uint64_t trial = 0; trial < 10000; ++trial) {
    const auto bytes = page_of(trial, 2 * trial), old = page_of(trial / 3, 2 * trial + 1);
    const uint64_t whole = checksum(bytes);
    const size_t line = trial % 2 != 0 ? 64 : 32, lines = 4096 / line;
    const auto changed = [&](const std::vector<uint8_t>& damaged, const char* what) {
      EXPECT_TRUE(damaged == bytes || checksum(damaged) != whole) << what << ", trial " << trial;
    };
    auto torn = bytes;
    for (size_t i = 0; i < lines; ++i)
      if (random() % 2 != 0) std::memcpy(&torn[i * line], &old[i * line], line);
    changed(torn, "torn");
    auto stale = bytes;
    const size_t a = random() % lines, b = random() % lines;
    std::memcpy(&stale[a * line], &old[a * line], line);
    changed(stale, "one old line");
    auto swapped = bytes;
    std::swap_ranges(&swapped[a * line], &swapped[a * line] + line, &swapped[b * line]);
    if (a != b) changed(swapped, "two lines swapped");
    auto zeroed = bytes;
    std::fill_n(&zeroed[a * line], line, uint8_t{0});
    changed(zeroed, "a line of zeros");
    changed(std::vector<uint8_t>(4096), "a page of zeros");
    auto turned = bytes;
    std::rotate(turned.begin(), turned.begin() + ptrdiff_t(line), turned.end());
    changed(turned, "shifted by a line");
    ASSERT_FALSE(HasFailure());
  }
}

TEST(Checksum, SeesEveryLengthAndSpreadsItsValues) {
  std::set<uint64_t> seen;
  std::set<uint32_t> low, high;
  for (size_t n = 0; n <= 4096; ++n) seen.insert(checksum(std::vector<uint8_t>(n)));
  EXPECT_EQ(seen.size(), 4097u);
  // 2^17 pages that differ in a counter: 32-bit halves of a good hash meet about twice, 2^33/2^32
  for (uint64_t i = 1; i <= 1 << 17; ++i) {
    std::vector<uint8_t> bytes(64);
    std::memcpy(&bytes[i % 2 * 24], &i, 8);
    seen.insert(checksum(bytes));
    low.insert(uint32_t(checksum(bytes)));
    high.insert(uint32_t(checksum(bytes) >> 32));
  }
  EXPECT_EQ(seen.size(), 4097u + (1 << 17));
  EXPECT_GE(low.size(), (1u << 17) - 16);
  EXPECT_GE(high.size(), (1u << 17) - 16);
}

}  // namespace
}  // namespace speckv::codec
