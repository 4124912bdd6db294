// SPDX-License-Identifier: Apache-2.0
// guard_test.cpp - a mapping whose memory goes reads as zeros and says so; any other bus error
// still ends the process.
//
// How: a file that is cut short under its mapping gives the same signal as a device that is
// removed.
#include "pool/bus_guard.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

namespace speckv::pool {
namespace {

constexpr uint64_t granule = 2u << 20, bytes = 8 * granule;

class Guard : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = memfd_create("guarded", MFD_CLOEXEC);
    ASSERT_EQ(ftruncate(file_, off_t(bytes)), 0);
    data_ =
        static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0));
    wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (uint64_t at = 0; at < bytes; at += granule) data_[at] = std::byte(1 + at / granule);
  }
  void TearDown() override {
    munmap(data_, bytes);
    close(file_);
    close(wake_);
  }
  void cut(uint64_t left) { ASSERT_EQ(ftruncate(file_, off_t(left)), 0); }
  std::unique_ptr<BusGuard> guard() {
    auto made = BusGuard::make(data_, bytes, granule, wake_);
    EXPECT_TRUE(made.ok()) << made.status().text();
    return std::move(made.value());
  }
  std::byte at(uint64_t offset) const { return *const_cast<volatile std::byte*>(data_ + offset); }
  bool woken() const {
    pollfd ready{wake_, POLLIN, 0};
    return poll(&ready, 1, 0) == 1;
  }

  int file_ = -1, wake_ = -1;
  std::byte* data_ = nullptr;
};

TEST_F(Guard, WhatIsGoneReadsAsZerosAndIsToldOnce) {
  const auto watch = guard();
  EXPECT_TRUE(watch->take_lost().empty());
  EXPECT_FALSE(woken());
  cut(5 * granule);
  EXPECT_EQ(at(6 * granule), std::byte{0});
  data_[6 * granule + 100] = std::byte{9};  // nobody's, but no harm
  EXPECT_EQ(at(6 * granule + 100), std::byte{9});
  EXPECT_EQ(at(4 * granule), std::byte{5}) << "the rest is as it was";
  EXPECT_TRUE(woken());
  const auto ranges = watch->take_lost();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].offset, 6 * granule);
  EXPECT_EQ(ranges[0].bytes, granule);
  EXPECT_TRUE(watch->take_lost().empty());
}

// Unseen by ThreadSanitizer: writers that meet the same loss have memory changed under them, which
// is what a guard is for.
[[gnu::no_sanitize_thread]] void write_byte(std::byte* at) {
  *static_cast<volatile std::byte*>(at) = std::byte{1};
}

TEST_F(Guard, ManyThreadsMayMeetTheSameLoss) {
  const auto watch = guard();
  cut(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; i++)
    threads.emplace_back([this] {
      for (uint64_t at = 0; at < bytes; at += 4096) write_byte(data_ + at);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(watch->take_lost().size(), bytes / granule);
}

using GuardDeathTest = Guard;

TEST_F(GuardDeathTest, ElsewhereTheSignalEndsTheProcess) {
  { const auto ended = guard(); }
  cut(0);
  EXPECT_EXIT(static_cast<void>(*static_cast<volatile std::byte*>(data_)),
              testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace speckv::pool
