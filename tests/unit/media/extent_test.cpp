// SPDX-License-Identifier: Apache-2.0
// extent_test.cpp - what is no device of our driver is refused with what it is, and so is a driver
// of another ABI. The device itself is tested in tests/vm/e2e.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "pool/extent_device.hpp"

namespace speckv::pool {
namespace {

Status try_path(const std::string& path, int kept_fd = -1) {
  MediumOptions options;
  options.kind = "extent";
  options.path = path;
  options.kept_fd = kept_fd;
  return make_medium(options).status();
}

void expect_refused(const Status& status, int error, const char* text) {
  EXPECT_EQ(status.error(), error) << status.text();
  EXPECT_NE(status.text().find(text), std::string::npos) << status.text();
}

TEST(ExtentPath, WhatIsNoDeviceOfOurs) {
  expect_refused(try_path(""), EINVAL, "needs [pool] path");
  expect_refused(try_path("/dev/speckv-not-there"), ENOENT, "expected a device like /dev/speckv0");
  expect_refused(try_path("/etc/passwd"), ENODEV, "is a file, not a character device");
  expect_refused(try_path("/dev"), ENODEV, "is a directory");
  expect_refused(try_path("/dev/null"), ENODEV, "of the class \"mem\", not speckv");
}

TEST(ExtentPath, AKeptDescriptorOfSomethingElseIsClosed) {
  const int kept = open("/dev/null", O_RDWR | O_CLOEXEC);
  ASSERT_GE(kept, 0);
  EXPECT_FALSE(try_path("/dev/speckv-not-there", kept).ok());
  EXPECT_EQ(fcntl(kept, F_GETFD), -1);
}

speckv_info good_info() {
  speckv_info info{};
  info.abi_version = SPECKV_ABI_VERSION;
  info.device_bytes = info.limit_bytes = 1u << 30;
  info.granule_bytes = SPECKV_GRANULE_BYTES;
  info.features = SPECKV_FEATURE_ZERO_FALLBACK;
  info.role = SPECKV_ROLE_CONTROL;
  return info;
}

TEST(ExtentDriver, AnotherAbiIsRefused) {
  EXPECT_TRUE(check_extent_driver("d", good_info()).ok());
  speckv_info info = good_info();
  info.abi_version = SPECKV_ABI_VERSION + 1;
  expect_refused(check_extent_driver("d", info), EPROTO,
                 "install driver and daemon of one version");
  info = good_info();
  info.features = SPECKV_FEATURE_PINNABLE;
  expect_refused(check_extent_driver("d", info), EOPNOTSUPP, "no feature ZERO_FALLBACK");
  info = good_info();
  info.role = SPECKV_ROLE_EXPORT_READ;
  expect_refused(check_extent_driver("d", info), EPROTO, "role 2");
  info = good_info();
  info.granule_bytes = 4096;
  expect_refused(check_extent_driver("d", info), EPROTO, "granules of 4096 bytes");
}

}  // namespace
}  // namespace speckv::pool
