// SPDX-License-Identifier: Apache-2.0
// Proves that a model's digest covers all of its files in order, whichever is named, for GGUF and
// safetensors; that files which contradict their names are refused and no bytes crash the reader;
// and that a kept digest counts for the very file that it was made of alone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "speckv/speckv.h"
#include "src/model_files.hpp"

namespace speckv::lib {
namespace {

using Digest = std::array<uint8_t, SPECKV_DIGEST_BYTES>;

class Digests : public testing::Test {
 protected:
  Digests() {
    char name[] = "/tmp/speckv-digests-XXXXXX";
    base_ = mkdtemp(name);
    setenv("SPECKV_DIGEST_CACHE", (base_ + "/cache/deeper").c_str(), 1);
  }
  ~Digests() override {
    unsetenv("SPECKV_DIGEST_CACHE");
    std::filesystem::remove_all(base_);
  }
  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(base_ + "/" + name, std::ios::binary) << bytes;
    return base_ + "/" + name;
  }
  int try_digest(const std::string& path, Digest* ret_digest) {
    const char* paths[] = {path.c_str()};
    return speckv_files_digest(paths, 1, ret_digest->data());
  }
  Digest digest(const std::string& path) {
    Digest found{};
    EXPECT_EQ(try_digest(path, &found), 0) << path;
    return found;
  }
  // A file as old as the cache wants it, so that its digest is kept.
  void age(const std::string& path) { sleep(3), static_cast<void>(path); }

  template <typename Number>
  static std::string raw(Number value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  static std::string text(const std::string& value) { return raw(uint64_t{value.size()}) + value; }
  // A GGUF header with a list of tokens before split.count, as a real one has. parts 0: no count.
  static std::string gguf(uint16_t parts, const std::string& tail = "") {
    std::string all = "GGUF" + raw(3u) + raw(uint64_t{0}) + raw(uint64_t{parts ? 3u : 2u});
    all += text("general.name") + raw(8u) + text("tiny");
    all += text("tokenizer.ggml.tokens") + raw(9u) + raw(8u) + raw(uint64_t{40'000});
    for (int i = 0; i < 40'000; i++) all += text("t" + std::to_string(i));
    if (parts) all += text("split.count") + raw(2u) + raw(parts);
    return all + tail;
  }

  std::string base_;
};

TEST_F(Digests, OneFileIsItsOwnDigest) {
  for (const std::string& path :
       {write("m.gguf", gguf(0)), write("n.gguf", gguf(1)), write("m.safetensors", "abc"),
        write("a-00001-of-00001.safetensors", "abc"), write("a-00001-of-00002.txt", "no model")}) {
    Digest plain;
    ASSERT_EQ(speckv_file_digest(path.c_str(), plain.data()), 0);
    EXPECT_EQ(digest(path), plain) << path;
  }
}

TEST_F(Digests, EveryPartOfASplitGgufCounts) {
  const std::string first = write("m-00001-of-00003.gguf", gguf(3));
  const std::string second = write("m-00002-of-00003.gguf", gguf(3, "a"));
  write("m-00003-of-00003.gguf", gguf(3, "b"));
  const Digest whole = digest(first);
  EXPECT_EQ(digest(second), whole);
  const std::string third = write("m-00003-of-00003.gguf", gguf(3, "c"));
  EXPECT_NE(digest(first), whole) << "the first part alone is the same";
  const Digest changed = digest(first);
  write("m-00002-of-00003.gguf", gguf(3, "c"));
  write("m-00003-of-00003.gguf", gguf(3, "a"));
  EXPECT_NE(digest(first), changed) << "the order counts";
  const char* named[] = {first.c_str(), second.c_str(), third.c_str()};
  Digest found;
  EXPECT_EQ(speckv_files_digest(named, 3, found.data()), 0);
  EXPECT_EQ(found, digest(first));
  unlink(third.c_str());
  EXPECT_EQ(try_digest(first, &found), -ENOENT);
}

TEST_F(Digests, EveryShardOfSafetensorsCounts) {
  const std::string first = write("model-00001-of-00002.safetensors", "a");
  write("model-00002-of-00002.safetensors", "b");
  const std::string index = write(
      "model.safetensors.index.json",
      R"({"metadata": {"total_size": 2}, "weight_map": {"x": "model-00001-of-00002.safetensors",
          "y\"z": "model-00002-of-00002.safetensors", "u": "model-00001-of-00002.safetensors"}})");
  const Digest whole = digest(first);
  EXPECT_EQ(digest(index), whole);
  write("model-00002-of-00002.safetensors", "c");
  EXPECT_NE(digest(first), whole);
  EXPECT_EQ(digest(index), digest(first));
}

TEST_F(Digests, WhatContradictsItsNameIsRefused) {
  Digest found;
  EXPECT_EQ(try_digest(write("renamed.gguf", gguf(3)), &found), -EBADMSG);
  EXPECT_EQ(try_digest(write("m-00001-of-00002.gguf", gguf(3)), &found), -EBADMSG);
  for (const char* text :
       {"{}", "{\"a\": \"../x.safetensors\"}", "{\"a", "", "{\"a\": \"b\\u002fx.safetensors\"}"})
    EXPECT_EQ(try_digest(write("m.safetensors.index.json", text), &found), -EBADMSG) << text;
  EXPECT_EQ(speckv_files_digest(nullptr, 1, found.data()), -EINVAL);
  const char* none[] = {nullptr};
  EXPECT_EQ(speckv_files_digest(none, 1, found.data()), -EINVAL);
  EXPECT_EQ(speckv_files_digest(none, 0, found.data()), -ENODATA);
}

// Cut anywhere, and with bytes changed: any answer is right but a crash or a wait.
TEST_F(Digests, NoBytesCrashTheReader) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  const std::string whole = gguf(3).substr(0, 4000) + text("split.count") + raw(2u) + raw(3u);
  for (int round = 0; round < 2000; round++) {
    std::string bytes = whole.substr(0, random() % whole.size());
    for (int i = 0; i < 4 && !bytes.empty(); i++)
      bytes[random() % std::min<size_t>(bytes.size(), 120)] = char(random());
    const int fd = memfd_create("gguf", 0);
    ASSERT_EQ(::write(fd, bytes.data(), bytes.size()), ssize_t(bytes.size()));
    lseek(fd, 0, SEEK_SET);
    EXPECT_LE(gguf_split_count(fd), UINT16_MAX) << "seed " << seed;
    close(fd);
  }
}

TEST_F(Digests, AKeptDigestIsOfTheVeryFile) {
  const std::string path = write("m.gguf", "weights");
  Digest before;
  ASSERT_EQ(speckv_file_digest(path.c_str(), before.data()), 0);
  EXPECT_FALSE(std::filesystem::exists(base_ + "/cache")) << "too young to be kept";
  age(path);
  ASSERT_EQ(speckv_file_digest(path.c_str(), before.data()), 0);
  ASSERT_TRUE(std::filesystem::exists(base_ + "/cache/deeper"));
  std::string record;
  for (const auto& entry : std::filesystem::directory_iterator(base_ + "/cache/deeper"))
    record = entry.path();
  ASSERT_FALSE(record.empty());

  Digest found;
  std::fstream file(record, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(100);
  const char bit = 1;
  file.write(&bit, 1).flush();
  ASSERT_EQ(speckv_file_digest(path.c_str(), found.data()), 0);
  EXPECT_EQ(found, before) << "a damaged record counts for nothing";
  struct stat kept;
  ASSERT_EQ(stat(record.c_str(), &kept), 0);
  struct stat again;
  ASSERT_EQ(speckv_file_digest(path.c_str(), found.data()), 0);
  ASSERT_EQ(stat(record.c_str(), &again), 0);
  EXPECT_EQ(kept.st_ino, again.st_ino) << "a hit writes no record";

  // Same size, same time of modification, other bytes.
  struct stat old;
  ASSERT_EQ(stat(path.c_str(), &old), 0);
  write("m.gguf", "WEIGHTS");
  const timespec times[2] = {old.st_atim, old.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  ASSERT_EQ(speckv_file_digest(path.c_str(), found.data()), 0);
  EXPECT_NE(found, before);
}

TEST_F(Digests, AFolderThatOthersCanWriteDoesNotCount) {
  const std::string path = write("m.gguf", "weights");
  age(path);
  Digest found;
  std::filesystem::create_directories(base_ + "/cache/deeper");
  ASSERT_EQ(chmod((base_ + "/cache/deeper").c_str(), 0777), 0);
  ASSERT_EQ(speckv_file_digest(path.c_str(), found.data()), 0);
  EXPECT_TRUE(std::filesystem::is_empty(base_ + "/cache/deeper"));
}

}  // namespace
}  // namespace speckv::lib
