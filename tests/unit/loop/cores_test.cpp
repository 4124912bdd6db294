// SPDX-License-Identifier: Apache-2.0
// cores_test.cpp - how many threads encode when nobody says, and what is warned of; quotas of
// control groups count as fewer cores.
//
// How: /proc and the mounts as files in a folder, as in memory_limit_test.cpp.
#include "loop/cores.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace speckv {
namespace {

uint32_t chosen(uint32_t data_threads, uint32_t cores) {
  config::DaemonConfig config;
  config.data_threads = data_threads;
  const EncodeThreads threads = encode_threads(config, cores);
  EXPECT_EQ(threads.warning, "");
  EXPECT_NE(threads.text.find("chosen"), std::string::npos) << threads.text;
  return threads.count;
}

std::string warning(uint32_t encoders, uint32_t data_threads, uint32_t cores) {
  config::DaemonConfig config;
  config.data_threads = data_threads;
  config.encode_threads = encoders;
  const EncodeThreads threads = encode_threads(config, cores);
  EXPECT_EQ(threads.count, encoders);
  return threads.warning;
}

TEST(Cores, TheEngineKeepsOneAndASmallShareEncodes) {
  EXPECT_EQ(chosen(1, 1), 0u);
  EXPECT_EQ(chosen(1, 2), 0u);
  EXPECT_EQ(chosen(1, 3), 0u);
  EXPECT_EQ(chosen(1, 4), 2u);
  EXPECT_EQ(chosen(1, 16), 2u);
  EXPECT_EQ(chosen(1, 40), 5u);
  EXPECT_EQ(chosen(1, 64), 8u);
  EXPECT_EQ(chosen(1, 256), 8u);
  EXPECT_EQ(chosen(2, 6), 0u);  // each data thread gets two, or none does
  EXPECT_EQ(chosen(2, 8), 4u);
  EXPECT_EQ(chosen(64, 8), 0u);
}

TEST(Cores, WhatCannotRunAtOnceIsSaid) {
  EXPECT_EQ(warning(0, 4, 2), "");
  EXPECT_EQ(warning(1, 1, 2), "");
  EXPECT_NE(warning(2, 1, 2).find("more than the 2 cores"), std::string::npos);
  EXPECT_NE(warning(256, 1, 64).find("more than the 64 cores"), std::string::npos);
  EXPECT_NE(warning(1, 2, 8).find("get none encode themselves"), std::string::npos);
}

class Quota : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "speckv_cores_" + std::to_string(getpid());
    real_ = usable_cores(root_);  // no group there
    ASSERT_GE(real_, 1u);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  std::string root_;
  uint32_t real_ = 0;
};

TEST_F(Quota, TheTightestAncestorDecides) {
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/a/cpu.max", "6400000 100000\n");
  EXPECT_EQ(usable_cores(root_), std::min(real_, 64u));
  write("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(usable_cores(root_), 1u);
  write("/sys/fs/cgroup/a/cpu.max", "20000 100000\n");
  EXPECT_EQ(usable_cores(root_), 1u);
}

TEST_F(Quota, OfVersionOne) {
  write("/proc/self/cgroup", "4:cpu,cpuacct:/a\n");
  write("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  write("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(usable_cores(root_), real_);
  write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(usable_cores(root_), 1u);
}

}  // namespace
}  // namespace speckv
