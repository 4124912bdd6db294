// SPDX-License-Identifier: Apache-2.0
// Proves that the fast path gives the golden model's bytes for every input: each codec, each vector
// target this CPU runs, both dtypes, many shapes and strides, random and adversarial pages; that
// what it refuses is refused for the same reason; that hostile stored bytes decode to the same
// values; and that nothing is written outside the page. SPECKV_TEST_PAGES sets the number of pages
// (default 100,000 over all codecs), SPECKV_TEST_SEED the seed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "codec/golden.hpp"
#include "pages.hpp"
#include "targets.hpp"

namespace speckv::codec::testing {
namespace {

uint64_t from_environment(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Case {
  CodecId codec;
  PageShape shape;
  Texture texture;
  Layout layout;
  std::string target;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << name(c.codec) << " " << c.shape.tokens << "x" << c.shape.head_dim << " dtype "
             << int(c.shape.dtype) << " texture " << int(c.texture) << " layout " << int(c.layout)
             << " on " << c.target;
}

// One page through both. Returns: false at the first difference, so that a test stops there.
bool same(const Case& c, Random& random) {
  const auto values = make_page(c.shape, c.texture, random);
  StridedPage page(c.shape, c.layout);
  page.fill(values);
  const size_t bytes = encoded_bytes(c.codec, c.shape);
  std::vector<std::byte> fast(bytes + 1, std::byte{0x5a}), slow(bytes + 1, std::byte{0x5a});
  const Refusal refused =
      encode(c.codec, c.shape, std::as_const(page).view(), std::span(fast).first(bytes));
  const Refusal expected =
      golden::encode(c.codec, c.shape, std::as_const(page).view(), std::span(slow).first(bytes));
  EXPECT_EQ(refused, expected) << c;
  EXPECT_EQ(fast[bytes], std::byte{0x5a}) << "encode wrote past its end: " << c;
  EXPECT_TRUE(expected != Refusal::none || fast == slow) << "encode: " << c;
  if (random() % 4 == 0) {  // hostile bytes
    for (std::byte& byte : slow) byte = std::byte(random());
  }
  if (expected != Refusal::none) return !::testing::Test::HasFailure();
  StridedPage fast_out(c.shape, c.layout), slow_out(c.shape, c.layout);
  decode(c.codec, c.shape, std::span(slow).first(bytes), fast_out.view());
  golden::decode(c.codec, c.shape, std::span(slow).first(bytes), slow_out.view());
  EXPECT_TRUE(fast_out.values() == slow_out.values()) << "decode: " << c;
  EXPECT_TRUE(fast_out.intact()) << "decode wrote outside the page: " << c;
  return !::testing::Test::HasFailure();
}

std::vector<CodecId> all_codecs() {
  std::vector<CodecId> ids;
  for (int i = 0; i < 256; ++i) {
    if (encoded_bytes(CodecId(i), {32, 64, SPECKV_DTYPE_F16, Kind::k}) != 0)
      ids.push_back(CodecId(i));
  }
  return ids;
}

PageShape random_shape(CodecId codec, Random& random) {
  static constexpr uint16_t dims[] = {64,  64, 64, 128, 128, 80, 96, 192,
                                      256, 1,  5,  33,  40,  72, 576};
  for (;;) {
    const PageShape shape{uint16_t(16 << random() % 3), dims[random() % std::size(dims)],
                          uint8_t(random() % 2 != 0 ? SPECKV_DTYPE_F16 : SPECKV_DTYPE_BF16),
                          random() % 2 != 0 ? Kind::k : Kind::v};
    if (encoded_bytes(codec, shape) != 0) return shape;
  }
}

TEST(Simd, EqualsGoldenOnEveryTarget) {
  const uint64_t seed = from_environment("SPECKV_TEST_SEED", 20261124);
  const uint64_t pages = from_environment("SPECKV_TEST_PAGES", 100000);
  const auto codecs = all_codecs();
  const uint64_t each = pages / codecs.size() / hwy::SupportedAndGeneratedTargets().size() + 1;
  std::cout << "seed " << seed << ", " << codecs.size() << " codecs, " << each
            << " pages each per target\n";
  for_each_target([&](const std::string& target) {
    Random random(seed);
    EXPECT_EQ(isa(), target);
    for (const CodecId codec : codecs) {
      for (uint64_t i = 0; i < each; ++i) {
        const Case c{codec, random_shape(codec, random), textures[random() % std::size(textures)],
                     layouts[random() % std::size(layouts)], target};
        if (!same(c, random)) return;
      }
    }
  });
}

}  // namespace
}  // namespace speckv::codec::testing
