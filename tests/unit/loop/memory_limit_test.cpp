// SPDX-License-Identifier: Apache-2.0
// memory_limit_test.cpp - the control group that leaves the least decides, in both versions and in
// a container's view of them; what is no limit is none.
//
// How: /proc and the mounts as files in a folder.
#include "pool/memory_limit.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace speckv::pool {
namespace {

constexpr uint64_t mib = 1 << 20;

class MemoryLimitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "speckv_cgroups_" + std::to_string(getpid());
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  void group(const std::string& path, const std::string& most, uint64_t used, uint64_t cache = 0) {
    write(path + "/memory.max", most + "\n");
    write(path + "/memory.current", std::to_string(used) + "\n");
    write(path + "/memory.stat", "anon 5\ninactive_file " + std::to_string(cache) + "\nslab 1\n");
  }
  void version_2(const std::string& own, const std::string& mount_root = "/") {
    write("/proc/self/cgroup", "0::" + own + "\n");
    write("/proc/self/mountinfo",
          "30 23 0:26 " + mount_root + " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
  }
  std::string root_;
};

TEST_F(MemoryLimitTest, TheTightestAncestorDecides) {
  version_2("/a/b/c");
  group("/sys/fs/cgroup/a/b/c", "max", 10 * mib);
  group("/sys/fs/cgroup/a/b", std::to_string(100 * mib), 40 * mib);
  group("/sys/fs/cgroup/a", std::to_string(500 * mib), 470 * mib);
  const MemoryLimit limit = cgroup_memory_limit(root_);
  EXPECT_TRUE(limit.any);
  EXPECT_EQ(limit.bytes, 500 * mib);
  EXPECT_EQ(limit.free_bytes, 30 * mib);
  EXPECT_EQ(limit.group, root_ + "/sys/fs/cgroup/a");
}

TEST_F(MemoryLimitTest, CacheCountsAsFree) {
  version_2("/a");
  group("/sys/fs/cgroup/a", std::to_string(100 * mib), 90 * mib, 50 * mib);
  EXPECT_EQ(cgroup_memory_limit(root_).free_bytes, 60 * mib);
  group("/sys/fs/cgroup/a", std::to_string(100 * mib), 190 * mib);
  EXPECT_EQ(cgroup_memory_limit(root_).free_bytes, 0u) << "beyond it already";
}

TEST_F(MemoryLimitTest, ContainersSeeTheirPartOfTheTree) {
  version_2("/docker/abc", "/docker/abc");
  group("/sys/fs/cgroup", std::to_string(64 * mib), 4 * mib);
  EXPECT_EQ(cgroup_memory_limit(root_).free_bytes, 60 * mib);
  version_2("/");  // with a namespace of control groups
  EXPECT_EQ(cgroup_memory_limit(root_).free_bytes, 60 * mib);
}

TEST_F(MemoryLimitTest, FirstVersionAndSpacesInPaths) {
  write("/proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/jobs/one\n0::/\n");
  write("/proc/self/mountinfo",
        "35 31 0:32 / /cg\\040roups/memory rw - cgroup cgroup rw,memory\n"
        "36 31 0:33 / /cg\\040roups/pids rw - cgroup cgroup rw,pids\n");
  const std::string own = "/cg roups/memory/jobs/one";
  write(own + "/memory.limit_in_bytes", "9223372036854771712\n");
  write(own + "/memory.usage_in_bytes", "1048576\n");
  EXPECT_FALSE(cgroup_memory_limit(root_).any);
  write("/cg roups/memory/jobs/memory.limit_in_bytes", std::to_string(50 * mib));
  write("/cg roups/memory/jobs/memory.usage_in_bytes", std::to_string(20 * mib));
  write("/cg roups/memory/jobs/memory.stat", "inactive_file 0\ntotal_inactive_file 1048576\n");
  EXPECT_EQ(cgroup_memory_limit(root_).free_bytes, 31 * mib);
}

TEST_F(MemoryLimitTest, WithoutFilesThereIsNoLimit) {
  EXPECT_FALSE(cgroup_memory_limit(root_).any);
  version_2("/gone");
  EXPECT_FALSE(cgroup_memory_limit(root_).any);
}

}  // namespace
}  // namespace speckv::pool
