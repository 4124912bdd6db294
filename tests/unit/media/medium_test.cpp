// SPDX-License-Identifier: Apache-2.0
// medium_test.cpp - the promises of each medium, tried with what the kernel really does.
//
// How: real tmpfs mounts under the test's temporary folder (root; without it those tests are
// skipped and say so), real memfds, a copied sysfs for devices. Each test tries to do what must not
// work: write through a client's descriptor, grow the file by touching it, resize a session, mount
// twice.
#include "pool/medium.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "pool/mapped_region.hpp"

namespace speckv {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t mib = 1u << 20;
constexpr uid_t nobody = 65534;

#define NEED_ROOT() \
  if (geteuid() != 0) GTEST_SKIP() << "not root: needs a mount of its own"

std::string fd_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// The errno of opening a descriptor anew for writing; 0 when that worked.
int reopen_for_writing(int fd) {
  const int again = open(fd_path(fd).c_str(), O_RDWR);
  if (again < 0) return errno;
  close(again);
  return 0;
}

int map_for_writing(int fd, uint64_t bytes) {
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return errno;
  munmap(map, bytes);
  return 0;
}

// Reads one byte of each page through a map of the descriptor. Returns: their sum.
uint64_t touch_all(int fd, uint64_t bytes) {
  void* map = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_NE(map, MAP_FAILED);
  uint64_t sum = 0;
  for (uint64_t at = 0; at < bytes; at += 4096) sum += static_cast<volatile uint8_t*>(map)[at];
  munmap(map, bytes);
  return sum;
}

// Runs body in a child as another user. Returns: its exit status.
int as_nobody(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(nobody) != 0 || setuid(nobody) != 0) _exit(99);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

class MediumTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "speckv_medium_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    chmod(folder_.c_str(), 0755);
    options_.path = folder_ + "/pool";
  }
  void TearDown() override {
    while (umount2(options_.path.c_str(), MNT_DETACH) == 0) {
    }
    fs::remove_all(folder_);
  }
  std::unique_ptr<Medium> make() {
    auto medium = make_medium(options_);
    EXPECT_TRUE(medium.ok()) << medium.status().text();
    return medium.ok() ? std::move(medium.value()) : nullptr;
  }
  static std::unique_ptr<Region> open(Medium& medium, const std::string& name, uint64_t bytes,
                                      bool fresh = false) {
    auto region = medium.open_region(name, bytes, fresh);
    EXPECT_TRUE(region.ok()) << region.status().text();
    return region.ok() ? std::move(region.value()) : nullptr;
  }
  uint64_t used_bytes() const {
    struct statfs facts {};
    EXPECT_EQ(statfs(options_.path.c_str(), &facts), 0);
    return (facts.f_blocks - facts.f_bfree) * uint64_t(facts.f_bsize);
  }

  std::string folder_;
  MediumOptions options_;
};

TEST_F(MediumTest, shm_descriptor_cannot_be_made_writable_even_by_root) {
  NEED_ROOT();
  auto medium = make();
  auto region = open(*medium, "a.pool", 8 * mib);
  ASSERT_TRUE(region);
  EXPECT_EQ(medium->isolation(), "by read-only mount");
  EXPECT_EQ(reopen_for_writing(region->client_fd()), EROFS);
  EXPECT_EQ(map_for_writing(region->client_fd(), 8 * mib), EACCES);
  EXPECT_EQ(ftruncate(region->client_fd(), 0), -1);
  EXPECT_NE(fchmod(region->client_fd(), 0666), 0);
  region->data()[5 * mib] = std::byte{7};
  EXPECT_EQ(touch_all(region->client_fd(), 8 * mib), 7u);
}

TEST_F(MediumTest, shm_does_not_grow_when_a_reader_touches_everything) {
  NEED_ROOT();
  auto medium = make();
  auto pool = open(*medium, "a.pool", 8 * mib);
  auto index = open(*medium, "a.index", 3 * mib + 4096 + 512, true);
  ASSERT_TRUE(pool && index);
  const uint64_t before = used_bytes();
  touch_all(pool->client_fd(), pool->bytes());
  touch_all(index->client_fd(), index->bytes());
  EXPECT_EQ(used_bytes(), before);
  // The control: a file with holes does grow, so the lines above could have failed.
  const int holes = ::open((options_.path + "/holes").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(ftruncate(holes, mib), 0);
  touch_all(holes, mib);
  EXPECT_GT(used_bytes(), before);
  close(holes);
}

TEST_F(MediumTest, shm_files_outlive_the_daemon) {
  NEED_ROOT();
  {
    auto medium = make();
    auto region = open(*medium, "a.pool", 8 * mib);
    EXPECT_FALSE(region->existed());
    EXPECT_TRUE(medium->survives_daemon());
    std::fill_n(region->data(), 8 * mib, std::byte{0x5a});
  }
  auto medium = make();
  auto region = open(*medium, "a.pool", 8 * mib);
  EXPECT_TRUE(region->existed());
  EXPECT_EQ(std::count(region->data(), region->data() + 8 * mib, std::byte{0x5a}),
            int64_t(8 * mib));
  EXPECT_EQ(reopen_for_writing(region->client_fd()), EROFS);
  region.reset();
  auto larger = open(*medium, "a.pool", 10 * mib);
  EXPECT_FALSE(larger->existed()) << "another size is another file";
  EXPECT_EQ(std::count(larger->data(), larger->data() + 10 * mib, std::byte{0}), int64_t(10 * mib));
}

// The kernel writes each of these as three octal digits where it lists mounts.
TEST_F(MediumTest, shm_finds_its_mount_where_the_path_has_blanks) {
  NEED_ROOT();
  options_.path = folder_ + "/a pool\tof\\mine";
  for (const bool there : {false, true}) {
    auto medium = make();
    ASSERT_TRUE(medium);
    EXPECT_EQ(open(*medium, "a.pool", 8 * mib)->existed(), there);
  }
}

TEST_F(MediumTest, shm_fresh_leaves_the_old_file_to_its_clients) {
  NEED_ROOT();
  auto medium = make();
  auto old = open(*medium, "a.index", 4 * mib, true);
  old->data()[0] = std::byte{1};
  const int client = dup(old->client_fd());
  old.reset();
  auto next = open(*medium, "a.index", 4 * mib, true);
  EXPECT_FALSE(next->existed());
  next->data()[0] = std::byte{2};
  EXPECT_EQ(touch_all(client, 4 * mib), 1u);
  EXPECT_EQ(touch_all(next->client_fd(), 4 * mib), 2u);
  close(client);
  for (const auto& entry : fs::directory_iterator(options_.path))
    EXPECT_NE(entry.path().filename().string().rfind(".new", 0), 0u) << entry.path();
}

TEST_F(MediumTest, shm_completes_what_a_killed_daemon_left) {
  NEED_ROOT();
  make().reset();
  const int holes = ::open((options_.path + "/a.pool").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(ftruncate(holes, off_t(8 * mib)), 0);
  close(holes);
  std::ofstream(options_.path + "/.new.b.pool") << "half";
  auto medium = make();
  auto region = open(*medium, "a.pool", 8 * mib);
  struct stat info {};
  ASSERT_EQ(fstat(region->client_fd(), &info), 0);
  EXPECT_GE(uint64_t(info.st_blocks) * 512, 8 * mib);
  open(*medium, "b.pool", 8 * mib);
  EXPECT_FALSE(fs::exists(options_.path + "/.new.b.pool"));
}

TEST_F(MediumTest, shm_refuses_places_that_are_not_its_own) {
  NEED_ROOT();
  std::ofstream(folder_ + "/file") << "x";
  options_.path = folder_ + "/file";
  EXPECT_EQ(make_medium(options_).status().error(), ENOTDIR);
  options_.path = folder_;
  EXPECT_EQ(make_medium(options_).status().error(), ENOTEMPTY);
  options_.path = folder_ + "/missing/pool";
  EXPECT_EQ(make_medium(options_).status().error(), ENOENT);
  options_.path = folder_ + "/pool";
  fs::create_directory(options_.path);
  ASSERT_EQ(mount("somebody", options_.path.c_str(), "tmpfs", 0, "size=1m"), 0);
  EXPECT_EQ(make_medium(options_).status().error(), EBUSY);
}

TEST_F(MediumTest, shm_serves_one_daemon_at_a_time) {
  NEED_ROOT();
  auto first = make();
  const auto second = make_medium(options_);
  EXPECT_EQ(second.status().error(), EBUSY);
  EXPECT_NE(second.status().text().find("another speckvd"), std::string::npos);
  first.reset();
  EXPECT_TRUE(make_medium(options_).ok());
}

TEST_F(MediumTest, shm_limits_its_mount_to_what_its_files_need) {
  NEED_ROOT();
  auto medium = make();
  auto region = open(*medium, "a.pool", 8 * mib);
  struct statfs facts {};
  ASSERT_EQ(statfs(options_.path.c_str(), &facts), 0);
  EXPECT_GE(facts.f_blocks * uint64_t(facts.f_bsize), 8 * mib);
  EXPECT_LE(facts.f_blocks * uint64_t(facts.f_bsize), 16 * mib);
}

TEST_F(MediumTest, shm_without_the_right_to_mount_falls_back_and_says_so) {
  NEED_ROOT();
  ASSERT_EQ(chown(folder_.c_str(), nobody, nobody), 0);
  EXPECT_EQ(as_nobody([&] {
              auto medium = make_medium(options_);
              if (!medium.ok()) return 1;
              if (medium.value()->isolation().rfind("by uid", 0) != 0) return 2;
              if (medium.value()->isolation().find("CAP_SYS_ADMIN") == std::string::npos) return 3;
              if (medium.value()->describe().rfind("memfd", 0) != 0) return 4;
              if (medium.value()->survives_daemon()) return 5;
              return medium.value()->open_region("a.pool", 8 * mib, false).ok() ? 0 : 6;
            }),
            0);
}

TEST_F(MediumTest, page_size_is_what_the_kernel_gave) {
  NEED_ROOT();
  options_.huge_pages = false;
  {
    auto medium = make();
    EXPECT_EQ(open(*medium, "a.pool", 8 * mib)->page_bytes(), 4096u);
    EXPECT_NE(medium->describe().find("4 KiB pages"), std::string::npos) << medium->describe();
  }
  ASSERT_EQ(umount(options_.path.c_str()), 0);
  options_.huge_pages = true;
  auto medium = make();
  auto region = open(*medium, "b.pool", 8 * mib);
  const bool huge = region->page_bytes() == 2 * mib;
  EXPECT_EQ(medium->describe().find("2 MiB pages") != std::string::npos, huge)
      << medium->describe();
  EXPECT_EQ(open(*medium, "small", mib)->page_bytes(), 4096u) << "less than one huge page";
  if (!huge) GTEST_SKIP() << "no huge page to be had now: only the honest 4096 was tested";
}

TEST_F(MediumTest, memfd_is_read_only_for_its_receiver_and_closed_to_other_uids) {
  options_ = {};
  options_.kind = "memfd";
  auto medium = make();
  auto region = open(*medium, "a.pool", 4 * mib + 512);
  EXPECT_EQ(medium->isolation(), "by uid");
  EXPECT_FALSE(medium->survives_daemon());
  EXPECT_EQ(map_for_writing(region->client_fd(), 4 * mib), EACCES);
  const int seals = fcntl(region->client_fd(), F_GET_SEALS);
  EXPECT_EQ(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  struct stat info {};
  ASSERT_EQ(fstat(region->client_fd(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(uint64_t(info.st_size), 4 * mib + 512);
  if (geteuid() != 0) GTEST_SKIP() << "not root: cannot try as another user";
  EXPECT_EQ(as_nobody([&] { return reopen_for_writing(region->client_fd()); }), EACCES);
}

TEST_F(MediumTest, new_memory_is_all_zero_whatever_its_pages) {
  options_ = {};
  options_.kind = "memfd";
  auto medium = make();
  const uint64_t bytes = 6 * mib + 4096 + 64;
  auto region = open(*medium, "a.pool", bytes);
  auto session = medium->open_session(bytes);
  ASSERT_TRUE(region && session.ok());
  EXPECT_EQ(std::count(region->data(), region->data() + bytes, std::byte{0}), int64_t(bytes));
  std::byte* memory = session.value()->data();
  EXPECT_EQ(std::count(memory, memory + bytes, std::byte{0}), int64_t(bytes));
}

TEST_F(MediumTest, session_memory_cannot_be_resized_by_its_client) {
  options_ = {};
  options_.kind = "memfd";
  auto medium = make();
  auto session = medium->open_session(4 * mib);
  ASSERT_TRUE(session.ok()) << session.status().text();
  Region& region = *session.value();
  EXPECT_EQ(map_for_writing(region.client_fd(), 4 * mib), 0) << "its client writes there";
  EXPECT_EQ(ftruncate(region.client_fd(), 4096), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(region.client_fd(), 8 * mib), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(fallocate(region.client_fd(), 0, off_t(4 * mib), mib), -1);
  EXPECT_EQ(fcntl(region.client_fd(), F_ADD_SEALS, F_SEAL_WRITE), -1)
      << "would break the daemon's own map";
  struct stat info {};
  ASSERT_EQ(fstat(region.client_fd(), &info), 0);
  EXPECT_GE(uint64_t(info.st_blocks) * 512, 4 * mib) << "allocated in full";
}

// A large arena would keep the thread that opens it from all others.
TEST_F(MediumTest, session_memory_comes_in_steps) {
  options_ = {};
  options_.kind = "memfd";
  auto medium = make();
  auto session = medium->open_session(128 * mib + 4096);
  ASSERT_TRUE(session.ok()) << session.status().text();
  const auto allocated = [&] {
    struct stat info {};
    EXPECT_EQ(fstat(session.value()->client_fd(), &info), 0);
    return uint64_t(info.st_blocks) * 512;
  };
  EXPECT_LE(allocated(), 32 * mib);
  bool whole = false;
  for (uint32_t step = 1; !whole; step++) {
    const uint64_t before = allocated();
    ASSERT_TRUE(session.value()->populate_some(16 * mib, &whole).ok());
    EXPECT_LE(allocated() - before, 16 * mib);
    ASSERT_LE(step, 16u);
  }
  EXPECT_GE(allocated(), 128 * mib + 4096);
  ASSERT_TRUE(session.value()->populate_some(16 * mib, &whole).ok());
  EXPECT_TRUE(whole);
}

TEST_F(MediumTest, more_than_the_memory_there_is_is_an_error_before_it_is_tried) {
  options_ = {};
  options_.kind = "memfd";
  auto medium = make();
  const auto region = medium->open_region("a.pool", 1ull << 50, false);
  EXPECT_EQ(region.status().error(), ENOMEM);
  EXPECT_NE(region.status().text().find("available"), std::string::npos) << region.status().text();
  EXPECT_EQ(medium->open_session(1ull << 50).status().error(), ENOMEM);
}

TEST_F(MediumTest, names_cannot_leave_the_pool) {
  options_ = {};
  options_.kind = "memfd";
  auto medium = make();
  for (const char* name : {"", "../x", "a/b", ".lock", ".new.a"})
    EXPECT_EQ(medium->open_region(name, mib, false).status().error(), EINVAL) << name;
}

TEST_F(MediumTest, numa_node_must_exist) {
  options_ = {};
  options_.kind = "memfd";
  options_.numa_node = 1023;
  const auto none = make_medium(options_);
  EXPECT_EQ(none.status().error(), ENODEV);
  EXPECT_NE(none.status().text().find("numa_node = 1023"), std::string::npos);
  options_.numa_node = 0;
  if (!pool::check_numa_node(0).ok()) GTEST_SKIP() << "no NUMA in this kernel";
  auto medium = make();
  EXPECT_NE(medium->describe().find("node 0"), std::string::npos);
  auto region = medium->open_region("a.pool", 2 * mib, false);
  EXPECT_TRUE(region.ok()) << region.status().text();
}

TEST_F(MediumTest, shm_binds_to_its_node) {
  NEED_ROOT();
  if (!pool::check_numa_node(0).ok()) GTEST_SKIP() << "no NUMA in this kernel";
  options_.numa_node = 0;
  auto medium = make();
  ASSERT_TRUE(open(*medium, "a.pool", 4 * mib));
  std::ifstream mounts("/proc/self/mounts");
  std::string line, ours;
  while (std::getline(mounts, line))
    if (line.find(options_.path) != std::string::npos) ours = line;
  EXPECT_NE(ours.find("mpol=bind:0"), std::string::npos) << ours;
}

TEST_F(MediumTest, emulation_shows_wherever_the_medium_is_named) {
  options_ = {};
  options_.kind = "memfd";
  options_.emulated_gb_s = 12.5;
  options_.emulated_ns = 250;
  EXPECT_NE(make()->describe().find("*emulated* 12.5 GB/s +250 ns"), std::string::npos)
      << make()->describe();
}

TEST_F(MediumTest, unknown_kind) {
  options_.kind = "tape";
  EXPECT_EQ(make_medium(options_).status().error(), EINVAL);
}

}  // namespace
}  // namespace speckv
