// SPDX-License-Identifier: Apache-2.0
// Proves that the fast path gives the golden model's bytes for every input: each codec, each vector
// target this CPU runs, both dtypes, many shapes and strides, random and adversarial pages; that
// what it refuses is refused for the same reason; that hostile stored bytes decode to the same
// values; and that nothing is written outside the page. SPECKV_TEST_PAGES sets the number of pages
// (default 100,000 over all codecs), SPECKV_TEST_SEED the seed.
#include <gtest/gtest.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "codec/chanq.hpp"
#include "codec/golden.hpp"
#include "codec/registry.hpp"
#include "codec/stream.hpp"
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
  const ChanTable* table;
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
      encode(c.codec, c.shape, std::as_const(page).view(), std::span(fast).first(bytes), c.table);
  const Refusal expected = golden::encode(c.codec, c.shape, std::as_const(page).view(),
                                          std::span(slow).first(bytes), c.table);
  EXPECT_EQ(refused, expected) << c;
  EXPECT_EQ(fast[bytes], std::byte{0x5a}) << "encode wrote past its end: " << c;
  EXPECT_TRUE(expected != Refusal::none || fast == slow) << "encode: " << c;
  if (random() % 4 == 0) {  // hostile bytes, some behind a head that an encoder wrote
    for (size_t i = random() % 2 * 4; i < slow.size(); ++i) slow[i] = std::byte(random());
  }
  if (expected != Refusal::none) return !::testing::Test::HasFailure();
  StridedPage fast_out(c.shape, c.layout), slow_out(c.shape, c.layout);
  decode(c.codec, c.shape, std::span(slow).first(bytes), fast_out.view(), c.table);
  golden::decode(c.codec, c.shape, std::span(slow).first(bytes), slow_out.view(), c.table);
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

// Tables of every pairing and partial rotation, kept; each use shares the bits anew by random
// weights.
class Tables {
 public:
  const ChanTable* random_for(CodecId codec, const PageShape& shape, Random& random) {
    if (!is_chanq(codec) || random() % 8 == 0) return nullptr;
    speckv_layout layout{};
    layout.dtype = shape.dtype;
    layout.layers = layout.kv_heads = 1;
    layout.head_dim = shape.head_dim;
    layout.page_tokens = shape.tokens;
    layout.rope = uint32_t(random() % 3);
    const uint32_t parts[] = {0, shape.head_dim / 2u, shape.head_dim / 4u, 16, 2, shape.head_dim};
    layout.rope_dims = parts[random() % std::size(parts)] / 2 * 2;
    layout.rope_theta[0] = random() % 8 == 0 ? 0.0F : 1e5F;
    auto& made = kept_[std::tuple(layout.dtype, layout.head_dim, layout.page_tokens, layout.rope,
                                  layout.rope_dims, layout.rope_theta[0] > 0)];
    if (made == nullptr) {
      std::string error;
      made = ChanTables::make(layout, nullptr, &error);
      EXPECT_NE(made, nullptr) << error;
    }
    table_ = made->at(0, 0);
    std::vector<ChanWeight> weights(table_.map.pairs());
    const int spread = 1 << random() % 13;
    for (ChanWeight& weight : weights)
      weight = ChanWeight(int(random() % uint64_t(2 * spread)) - spread);
    for (size_t i = 0; i < weights.size() / 8; ++i) {
      if (random() % 4 == 0) weights[random() % weights.size()] = chan_weight_dead;
    }
    share_bits(weights, chanq_budget(codec, shape.tokens, shape.head_dim),
               std::span(table_.widths[chanq_index(codec)]).first(weights.size()));
    return &table_;
  }

 private:
  std::map<std::tuple<uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, bool>,
           std::unique_ptr<ChanTables>>
      kept_;
  ChanTable table_;
};

PageShape random_shape(CodecId codec, Random& random) {
  // 300: more than fits the scratch as whole rows of whole groups.
  static constexpr uint16_t dims[] = {64, 64, 64,  64,  64,  64, 128, 128, 80, 96,
                                      16, 48, 112, 192, 256, 1,  5,   33,  40, 300};
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
  // The best target, which runs in production here, takes three quarters of the pages.
  const uint64_t best = pages * 3 / 4 / codecs.size() + 1;
  const uint64_t others = pages / 4 / codecs.size() / targets_count() + 1;
  const std::string best_target(isa());
  std::cout << "seed " << seed << ", " << codecs.size() << " codecs, " << best << " pages each on "
            << best_target << ", " << others << " on every other target\n";
  for_each_target([&](const std::string& target) {
    Random random(seed);
    Tables tables;
    const uint64_t each = target == best_target ? best : others;
    EXPECT_EQ(isa(), target);
    for (const CodecId codec : codecs) {
      if (pages >= 1000000) std::cout << target << " " << name(codec) << std::endl;  // progress
      for (uint64_t i = 0; i < each; ++i) {
        const PageShape shape = random_shape(codec, random);
        const Texture texture = textures[random() % std::size(textures)];
        const Layout layout = layouts[random() % std::size(layouts)];
        const Case c{codec,  shape,  texture,
                     layout, target, tables.random_for(codec, shape, random)};
        if (!same(c, random)) return;
      }
    }
  });
}

// Non-temporal stores need memory that begins on a line: aligned rows, rows of half lines, and some
// bytes past a line, where decoders fall back.
TEST(Simd, StreamsWhatGoldenDecodes) {
  for_each_target([](const std::string& target) {
    Random random(from_environment("SPECKV_TEST_SEED", 5));
    Tables tables;
    for (int i = 0; i < 1500; ++i) {
      const auto ids = all_codecs();
      const CodecId id = ids[size_t(i) % ids.size()];
      const PageShape shape = random_shape(id, random);
      const ChanTable* table = tables.random_for(id, shape, random);
      const size_t row = 2 * size_t{shape.head_dim}, bytes = encoded_bytes(id, shape);
      const size_t stride = row + random() % 3 * 32, start = 64 + random() % 4 / 3 * 16;
      std::vector<std::byte> stored(bytes + 1), expected(shape.tokens * row);
      const auto values = make_page(shape, textures[size_t(i) % std::size(textures)], random);
      const auto* from = reinterpret_cast<const std::byte*>(values.data());
      if (golden::encode(id, shape, {from, ptrdiff_t(row), 2}, std::span(stored).first(bytes),
                         table) != Refusal::none)
        continue;
      const auto payload = std::span<const std::byte>(stored).first(bytes);
      golden::decode(id, shape, payload, {expected.data(), ptrdiff_t(row), 2}, table);
      struct alignas(64) Line {
        std::byte bytes[64];
      };
      std::vector<Line> memory(shape.tokens * stride / 64 + 4);
      auto* base = memory[0].bytes;
      const size_t room = memory.size() * sizeof(Line);
      std::fill(base, base + room, std::byte{0x5a});
      find_codec(id)->decode(id, shape, stored.data(), {base + start, ptrdiff_t(stride), 2}, table,
                             {true});
      stream_fence();
      bool same = true;
      for (size_t at = 0; at < room; ++at) {
        const size_t t = (at - start) / stride, inside = (at - start) % stride;
        const bool own = at >= start && t < shape.tokens && inside < row;
        same &= base[at] == (own ? expected[t * row + inside] : std::byte{0x5a});
      }
      ASSERT_TRUE(same) << name(id) << " " << shape.tokens << "x" << shape.head_dim << " stride "
                        << stride << " start " << start << " on " << target;
    }
  });
}

#if defined(__x86_64__)
// Engines set the flush-to-zero and denormals-are-zero bits in their threads; decoders run in
// those.
TEST(Simd, EqualsGoldenWhereTheHostFlushesSubnormals) {
  const unsigned before = _mm_getcsr();
  Random random(from_environment("SPECKV_TEST_SEED", 4));
  Tables tables;
  for (const CodecId codec : all_codecs()) {
    for (int i = 0; i < 60; ++i) {
      const PageShape shape = random_shape(codec, random);
      const Texture texture =
          i % 3 == 0 ? Texture::subnormal : textures[size_t(i) % std::size(textures)];
      const Case c{codec,
                   shape,
                   texture,
                   layouts[size_t(i) % std::size(layouts)],
                   std::string(isa()),
                   tables.random_for(codec, shape, random)};
      _mm_setcsr(before | 0x8040);
      const bool equal = same(c, random);
      _mm_setcsr(before);
      if (!equal) return;
    }
  }
}
#endif

}  // namespace
}  // namespace speckv::codec::testing
