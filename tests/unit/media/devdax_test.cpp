// SPDX-License-Identifier: Apache-2.0
// devdax_test.cpp - a path that is no device-DAX device is refused with what it is; sizes are
// checked before the map.
//
// How: files and devices that every machine has, and a copy of what sysfs shows for a dax device.
// The device itself is tested in tests/vm.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pool/dax_device.hpp"
#include "pool/medium.hpp"

namespace speckv {
namespace {

namespace fs = std::filesystem;

Status try_path(const std::string& path) {
  MediumOptions options;
  options.kind = "devdax";
  options.path = path;
  return make_medium(options).status();
}

TEST(Devdax, paths_that_are_none) {
  EXPECT_EQ(try_path("").error(), EINVAL);
  EXPECT_EQ(try_path("/dev/dax-that-is-not-there").error(), ENOENT);
  const Status file = try_path("/etc/passwd");
  EXPECT_EQ(file.error(), ENODEV);
  EXPECT_NE(file.text().find("not a character device"), std::string::npos) << file.text();
  const Status null = try_path("/dev/null");
  EXPECT_EQ(null.error(), ENODEV);
  EXPECT_NE(null.text().find("\"mem\", not dax"), std::string::npos) << null.text();
}

class DaxSysfs : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "speckv_dax_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    sysfs_ = pattern;
    node_ = sysfs_ / "dev/char/252:7";
    fs::create_directories(node_);
    fs::create_directories(sysfs_ / "bus/dax");
    fs::create_directories(sysfs_ / "bus/pci");
  }
  void TearDown() override { fs::remove_all(sysfs_); }
  void write(const char* name, const char* text) { std::ofstream(node_ / name) << text << "\n"; }
  Result<pool::DaxDevice> read() { return pool::read_dax_device(sysfs_, "/dev/dax0.0", 252, 7); }

  fs::path sysfs_, node_;
};

TEST_F(DaxSysfs, class_size_and_alignment) {
  fs::create_symlink("../../../bus/dax", node_ / "subsystem");
  write("size", "4294967296");
  write("align", "0x200000");
  const auto device = read();
  ASSERT_TRUE(device.ok()) << device.status().text();
  EXPECT_EQ(device.value().bytes, 4ull << 30);
  EXPECT_EQ(device.value().align_bytes, 2u << 20);
  EXPECT_TRUE(pool::check_dax_request(device.value(), "d", 4ull << 30).ok());
  EXPECT_EQ(pool::check_dax_request(device.value(), "d", 5ull << 30).error(), ENOSPC);
  EXPECT_EQ(pool::check_dax_request(device.value(), "d", 3u << 20).error(), EINVAL);
}

TEST_F(DaxSysfs, other_classes_and_empty_devices) {
  EXPECT_EQ(read().status().error(), ENODEV) << "no subsystem at all";
  fs::create_symlink("../../../bus/pci", node_ / "subsystem");
  write("size", "4294967296");
  EXPECT_EQ(read().status().error(), ENODEV);
  fs::remove(node_ / "subsystem");
  fs::create_symlink("../../../bus/dax", node_ / "subsystem");
  write("size", "0");
  EXPECT_EQ(read().status().error(), ENODEV);
}

}  // namespace
}  // namespace speckv
