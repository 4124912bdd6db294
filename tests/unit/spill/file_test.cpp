// SPDX-License-Identifier: Apache-2.0
// file_test.cpp - what a spill_path may be: each thing that it may not be has its errno and a
// sentence, and is as it was afterwards.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <tuple>

#include "pool/spill_file.hpp"
#include "pool/spill_format.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t mib = 1 << 20;

class SpillPath : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/speckv-spill-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ + "/spill";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  SpillWanted wanted(uint32_t shards = 2, uint64_t bytes = 64 * mib) const {
    return {path_, "tenant", bytes, shards, 0};  // ms of patience
  }
  // Returns: its errno and sentence; 0: it was opened.
  std::pair<int, std::string> refusal(const SpillWanted& wanted) {
    const auto file = SpillFile::open(wanted);
    if (file.ok()) return {0, ""};
    return {file.status().error(), file.status().text()};
  }
  void write_file(const std::string& bytes) { std::ofstream(path_) << bytes; }
  std::string read_file(size_t bytes) {
    std::string text(bytes, '\0');
    std::ifstream(path_).read(text.data(), std::streamsize(bytes));
    return text;
  }
  void change(uint64_t offset, auto&& edit) {
    spill::Superblock block;
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(std::streamoff(offset)).read(reinterpret_cast<char*>(&block), sizeof block);
    edit(block);
    block.check = spill::superblock_check(block);
    file.seekp(std::streamoff(offset)).write(reinterpret_cast<const char*>(&block), sizeof block);
  }

  std::string folder_, path_;
};

TEST_F(SpillPath, ANewFileIsMadeWholeAndFoundAgain) {
  uint64_t ids[2] = {};
  {
    const auto file = SpillFile::open(wanted());
    ASSERT_TRUE(file.ok()) << file.status().text();
    ASSERT_EQ(file.value().parts().size(), 2u);
    EXPECT_EQ(file.value().parts()[1].base, 32 * mib);
    EXPECT_EQ(file.value().parts()[1].units, 15u);
    for (int i = 0; i < 2; i++) {
      EXPECT_FALSE(file.value().parts()[i].existed);
      ids[i] = file.value().parts()[i].store_id;
    }
    EXPECT_NE(ids[0], ids[1]);
  }
  struct stat found {};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_size, off_t(64 * mib));
  EXPECT_GE(uint64_t(found.st_blocks) * 512, 64 * mib);  // allocated
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  const auto again = SpillFile::open(wanted());
  ASSERT_TRUE(again.ok()) << again.status().text();
  for (int i = 0; i < 2; i++) {
    EXPECT_TRUE(again.value().parts()[i].existed);
    EXPECT_EQ(again.value().parts()[i].store_id, ids[i]);
  }
}

TEST_F(SpillPath, AnotherShapeStartsEmptyAndSaysSo) {
  ASSERT_EQ(refusal(wanted()).first, 0);
  const auto file = SpillFile::open(wanted(1, 64 * mib));
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(file.value().parts()[0].existed);
  EXPECT_NE(file.value().not_kept().find("2 shards of 15 units"), std::string::npos)
      << file.value().not_kept();
}

TEST_F(SpillPath, TwoDaemonsCannotHaveIt) {
  const auto first = SpillFile::open(wanted());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(refusal(wanted()).first, EBUSY);
}

// A process that was killed is gone before the last of its writes is.
TEST_F(SpillPath, WhoseEndIsNearIsWaitedFor) {
  auto first = std::make_unique<Result<SpillFile>>(SpillFile::open(wanted()));
  ASSERT_TRUE(first->ok());
  std::thread end([&] {
    usleep(50'000);
    first.reset();
  });
  SpillWanted patient = wanted();
  patient.patience_ms = 20'000;
  EXPECT_EQ(refusal(patient).first, 0);
  end.join();
}

TEST_F(SpillPath, WhatIsNoPlaceForIt) {
  SpillWanted there = wanted();
  there.path = folder_;
  EXPECT_EQ(refusal(there).first, EISDIR);
  there.path = folder_ + "/not/there";
  EXPECT_EQ(refusal(there).first, ENOENT);
  there.path = "/dev/null";
  EXPECT_EQ(refusal(there).first, ENOTBLK);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(refusal(wanted()).first, ENOTBLK);
}

TEST_F(SpillPath, SomethingElsesFileStaysAsItIs) {
  const std::string text = "my only copy of something\n";
  write_file(text);
  const auto [error, sentence] = refusal(wanted());
  EXPECT_EQ(error, EEXIST);
  EXPECT_NE(sentence.find("holds something else"), std::string::npos) << sentence;
  EXPECT_EQ(std::filesystem::file_size(path_), text.size());
  EXPECT_EQ(read_file(text.size()), text);
}

TEST_F(SpillPath, AnotherNamespaces) {
  ASSERT_EQ(refusal(wanted()).first, 0);
  const std::string before = read_file(4096);
  SpillWanted other = wanted();
  other.space = "other";
  const auto [error, sentence] = refusal(other);
  EXPECT_EQ(error, EEXIST);
  EXPECT_NE(sentence.find("belongs to namespace tenant, not other"), std::string::npos) << sentence;
  EXPECT_EQ(read_file(4096), before);
}

TEST_F(SpillPath, ANewerFormat) {
  ASSERT_EQ(refusal(wanted()).first, 0);
  change(0, [](spill::Superblock& block) { block.version++; });
  const std::string before = read_file(4096);
  EXPECT_EQ(refusal(wanted()).first, EPROTONOSUPPORT);
  EXPECT_EQ(read_file(4096), before);
  change(0, [](spill::Superblock& block) {
    block.version--;
    block.pool_version++;
  });
  EXPECT_EQ(refusal(wanted()).first, EPROTONOSUPPORT);
}

TEST_F(SpillPath, ShorterThanItsHeaderSays) {
  ASSERT_EQ(refusal(wanted()).first, 0);
  ASSERT_EQ(truncate(path_.c_str(), off_t(40 * mib)), 0);
  const auto [error, sentence] = refusal(wanted());
  EXPECT_EQ(error, ENODATA);
  EXPECT_NE(sentence.find("cut short"), std::string::npos) << sentence;
  EXPECT_EQ(std::filesystem::file_size(path_), 40 * mib);
}

TEST_F(SpillPath, ADamagedHeader) {
  ASSERT_EQ(refusal(wanted()).first, 0);
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40).write("x", 1);
  }
  EXPECT_EQ(refusal(wanted()).first, EBADMSG);
}

// More than any disk here has.
TEST_F(SpillPath, ADiskWithoutRoom) {
  const auto [error, sentence] = refusal(wanted(2, 200ull << 40));
  EXPECT_TRUE(error == ENOSPC || error == EFBIG) << error << sentence;
  EXPECT_FALSE(std::filesystem::exists(path_));  // not left behind
}

// A file system of its own, for a test that is root.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& folder) : folder_(folder) {
    std::filesystem::create_directory(folder);
    mounted_ = mount("small", folder.c_str(), "tmpfs", 0, "size=8m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  void make_read_only() const {
    mount("small", folder_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
  }

 private:
  std::string folder_;
  bool mounted_ = false;
};

TEST_F(SpillPath, AFullDisk) {
  const SmallDisk disk(folder_ + "/small");
  if (!disk.mounted()) GTEST_SKIP() << "mounts need root";
  SpillWanted there = wanted();
  there.path = folder_ + "/small/spill";
  const auto [error, sentence] = refusal(there);
  EXPECT_EQ(error, ENOSPC);
  EXPECT_NE(sentence.find("no room for spill_bytes = 67108864"), std::string::npos) << sentence;
  EXPECT_FALSE(std::filesystem::exists(there.path));
}

TEST_F(SpillPath, AReadOnlyDisk) {
  const SmallDisk disk(folder_ + "/small");
  if (!disk.mounted()) GTEST_SKIP() << "mounts need root";
  disk.make_read_only();
  SpillWanted there = wanted();
  there.path = folder_ + "/small/spill";
  const auto [error, sentence] = refusal(there);
  EXPECT_EQ(error, EROFS);
  EXPECT_NE(sentence.find(there.path), std::string::npos) << sentence;
}

// A block device over the file, as long as it lives.
class LoopDevice {
 public:
  explicit LoopDevice(const std::string& file) {
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    const int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    if (control >= 0) close(control);
    if (number < 0) return;
    path_ = "/dev/loop" + std::to_string(number);
    fd_ = open(path_.c_str(), O_RDWR | O_CLOEXEC);
    const int backing = open(file.c_str(), O_RDWR | O_CLOEXEC);
    there_ = fd_ >= 0 && backing >= 0 && ioctl(fd_, LOOP_SET_FD, backing) == 0;
    if (backing >= 0) close(backing);
  }
  ~LoopDevice() {
    if (there_) ioctl(fd_, LOOP_CLR_FD, 0);
    if (fd_ >= 0) close(fd_);
  }
  bool there() const { return there_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
  bool there_ = false;
};

// As a mount has it: opened by one alone. And one of fewer bytes than are asked for.
TEST_F(SpillPath, ADeviceThatIsInUseOrTooSmall) {
  write_file("");
  ASSERT_EQ(truncate(path_.c_str(), off_t(64 * mib)), 0);
  const LoopDevice device(path_);
  if (!device.there()) GTEST_SKIP() << "no loop devices here";
  SpillWanted there = wanted();
  there.path = device.path();
  const int owner = open(device.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC);
  ASSERT_GE(owner, 0);
  auto [error, sentence] = refusal(there);
  EXPECT_EQ(error, EBUSY);
  EXPECT_NE(sentence.find("is in use: mounted, or another daemon's"), std::string::npos)
      << sentence;
  close(owner);
  there.bytes = 128 * mib;
  std::tie(error, sentence) = refusal(there);
  EXPECT_EQ(error, ENOSPC);
  EXPECT_NE(sentence.find("the device " + device.path() + " has 67108864"), std::string::npos)
      << sentence;
  there.bytes = 64 * mib;
  EXPECT_EQ(refusal(there), std::make_pair(0, std::string()));
}

// With O_DIRECT or without, as the kernel has it there.
TEST_F(SpillPath, MemoryIsAPlaceToo) {
  SpillWanted there = wanted(1, 32 * mib);
  there.path = "/dev/shm/speckv-spill-test-" + std::to_string(getpid());
  const auto file = SpillFile::open(there);
  unlink(there.path.c_str());
  EXPECT_TRUE(file.ok()) << file.status().text();
}

}  // namespace
}  // namespace speckv::test
