// SPDX-License-Identifier: Apache-2.0
// Proves that the digest of a model covers every file of it, in order, whichever of them is named.
#include "llama/weights.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

namespace speckv::llama {
namespace {

class WeightsTest : public testing::Test {
 protected:
  WeightsTest() : base_(testing::TempDir() + "weights-" + std::to_string(getpid())) {
    std::filesystem::create_directory(base_);
  }
  ~WeightsTest() override { std::filesystem::remove_all(base_); }
  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(base_ + "/" + name, std::ios::binary) << bytes;
    return base_ + "/" + name;
  }
  // The head of a file that is one of so many, then anything.
  static std::string part_of(uint16_t parts, const std::string& tail) {
    const uint32_t version = 3, type_uint16 = 2;
    const uint64_t tensors = 0, pairs = 1, name_bytes = 11;
    std::string head = "GGUF";
    const auto add = [&head](const auto& value) {
      head.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    add(version), add(tensors), add(pairs), add(name_bytes);
    head += "split.count";
    add(type_uint16), add(parts);
    return head + tail;
  }
  std::array<uint8_t, SPECKV_DIGEST_BYTES> digest(const std::string& path) {
    std::array<uint8_t, SPECKV_DIGEST_BYTES> found{};
    EXPECT_TRUE(weights_digest(path, found.data(), &why_)) << why_;
    return found;
  }
  std::string base_, why_;
};

TEST_F(WeightsTest, OneFileIsItsOwnDigest) {
  for (const char* name : {"m.gguf", "m-00001-of-00001.gguf", "m-1-of-2.gguf", "00001-of-00002"}) {
    const std::string path = write(name, "weights");
    std::array<uint8_t, SPECKV_DIGEST_BYTES> plain;
    ASSERT_EQ(speckv_file_digest(path.c_str(), plain.data()), 0);
    EXPECT_EQ(digest(path), plain) << name;
  }
}

TEST_F(WeightsTest, EveryFileOfASplitModelCounts) {
  const std::string first = write("m-00001-of-00003.gguf", part_of(3, "no tensors"));
  const std::string second = write("m-00002-of-00003.gguf", part_of(3, "a"));
  write("m-00003-of-00003.gguf", part_of(3, "b"));
  const auto whole = digest(first);
  EXPECT_EQ(digest(second), whole);
  write("m-00003-of-00003.gguf", part_of(3, "c"));
  EXPECT_NE(digest(first), whole);
  write("m-00002-of-00003.gguf", part_of(3, "b"));
  write("m-00003-of-00003.gguf", part_of(3, "a"));  // the same bytes in another order
  EXPECT_NE(digest(first), whole);
}

TEST_F(WeightsTest, IsTheLibrarysOwn) {
  const std::string first = write("m-00001-of-00002.gguf", part_of(2, "a"));
  write("m-00002-of-00002.gguf", part_of(2, "b"));
  const char* path = first.c_str();
  std::array<uint8_t, SPECKV_DIGEST_BYTES> library;
  ASSERT_EQ(speckv_files_digest(&path, 1, library.data()), 0);
  EXPECT_EQ(digest(first), library);
}

TEST_F(WeightsTest, AMissingFileIsSaid) {
  const std::string first = write("m-00001-of-00002.gguf", part_of(2, "x"));
  uint8_t found[SPECKV_DIGEST_BYTES];
  EXPECT_FALSE(weights_digest(first, found, &why_));
  EXPECT_NE(why_.find("another file of the model"), std::string::npos) << why_;
}

}  // namespace
}  // namespace speckv::llama
