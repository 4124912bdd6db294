// SPDX-License-Identifier: Apache-2.0
// Proves that keys and digests are what docs say, byte for byte (values computed with sha256sum
// over the fields), and that every field matters. No daemon.
#include <unistd.h>

#include <cstdio>
#include <set>
#include <string>

#include "kv.hpp"

namespace speckv::test {
namespace {

std::string hex(const uint8_t* bytes) {
  std::string text;
  char two[3];
  for (int i = 0; i < 32; i++) {
    std::snprintf(two, sizeof two, "%02x", bytes[i]);
    text += two;
  }
  return text;
}

std::string chain(const uint8_t* parent, const std::string& salt, std::vector<int32_t> tokens) {
  uint8_t key[32];
  EXPECT_EQ(speckv_key_chain(parent, salt.data(), salt.size(), tokens.data(), tokens.size(), key),
            0);
  return hex(key);
}

TEST(Keys, AreTheDocumentedBytes) {
  EXPECT_EQ(chain(nullptr, "", {1, 2, 3}),
            "9eae34af0fadfdca51be6edf4648213d96d2d28ca1d0a2adcf59e1979f3b04fa");
  const KeyBytes parent = {{1, 2, 3}};
  EXPECT_EQ(chain(parent.bytes, "user-7", {-1}),
            "eb64175e71b6acade0fe5ab4efe965373fe95862b84376696edd764d568d0778");
  uint8_t digest[32];
  ASSERT_EQ(speckv_variant_digest(nullptr, "llama.cpp b1", "f16", digest), 0);
  EXPECT_EQ(hex(digest), "d6eaded84b8411637eb8474b0113a7d13a66ba97a0c52b4e2ad9ac392c4bf0f1");
}

TEST(Keys, EveryFieldMatters) {
  const KeyBytes zeros{}, other = {{9}};
  std::set<std::string> all = {
      chain(nullptr, "", {1, 2}),  chain(zeros.bytes, "", {1, 2}), chain(other.bytes, "", {1, 2}),
      chain(nullptr, "a", {1, 2}), chain(nullptr, "b", {1, 2}),    chain(nullptr, "", {1, 3}),
      chain(nullptr, "", {2, 1}),  chain(nullptr, "", {1, 2, 0}),
  };
  EXPECT_EQ(all.size(), 8u);
  uint8_t a[32], b[32];
  ASSERT_EQ(speckv_variant_digest(nullptr, "ab", "c", a), 0);
  ASSERT_EQ(speckv_variant_digest(nullptr, "a", "bc", b), 0);
  EXPECT_NE(hex(a), hex(b));
}

TEST(Keys, FileDigestIsSha256OfItsBytes) {
  char name[] = "/tmp/speckv-digest-XXXXXX";
  const int fd = mkstemp(name);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, "abc", 3), 3);
  close(fd);
  uint8_t digest[32];
  EXPECT_EQ(speckv_file_digest(name, digest), 0);
  EXPECT_EQ(hex(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  unlink(name);
}

TEST(Layout, FingerprintIgnoresThePresetOnly) {
  speckv_layout layout = small_layout();
  const uint64_t fingerprint = speckv_layout_fingerprint(&layout);
  EXPECT_NE(fingerprint, 0u);
  layout.preset = SPECKV_PRESET_Q8;
  EXPECT_EQ(speckv_layout_fingerprint(&layout), fingerprint);
  layout.layers++;
  EXPECT_NE(speckv_layout_fingerprint(&layout), fingerprint);
  layout = small_layout();
  layout.rope_theta[2] = 500000;
  EXPECT_NE(speckv_layout_fingerprint(&layout), fingerprint);
  EXPECT_EQ(speckv_block_bytes(&layout), 3u * 2 * 2 * 24 * 32 * 2);
}

TEST(Library, SaysItsVersion) { EXPECT_EQ(std::string(speckv_version()).substr(0, 4), "1.1 "); }

}  // namespace
}  // namespace speckv::test
