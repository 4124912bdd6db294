// SPDX-License-Identifier: Apache-2.0
// Proves that a segment is its pages in the documented order, each padded to 32 bytes, under the
// checksum of exactly those bytes; that every stride a caller may have gives the same stored bytes
// and comes back; that the first page of a sequence takes preset.first; and that short or damaged
// input cannot write outside the output; that an input rewritten during the encode gives some
// segment under its right checksum.
#include "codec/segment.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "codec/checksum.hpp"
#include "pages.hpp"

namespace speckv::codec::testing {
namespace {

speckv_layout make_layout(uint32_t heads, uint32_t head_dim, uint32_t block, uint32_t page,
                          uint32_t dtype) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = dtype;
  layout.layers = 2;
  layout.kv_heads = heads;
  layout.head_dim = head_dim;
  layout.block_tokens = block;
  layout.page_tokens = page;
  return layout;
}

enum class Memory { per_head, per_token, transposed, sparse };
constexpr Memory memories[] = {Memory::per_head, Memory::per_token, Memory::transposed,
                               Memory::sparse};

// K or V of one layer in one of the shapes engines use.
struct Tensor {
  Tensor(const speckv_layout& layout, Memory memory) {
    const ptrdiff_t n = layout.dtype == SPECKV_DTYPE_F8 ? 1 : 2, t = layout.block_tokens,
                    h = layout.kv_heads, d = layout.head_dim;
    switch (memory) {
      case Memory::per_head:
        channel = n, token = n * d, head = token * t;
        break;
      case Memory::per_token:
        channel = n, head = n * d, token = head * h;
        break;
      case Memory::transposed:
        token = n, channel = n * t, head = channel * d;
        break;
      case Memory::sparse:
        channel = 2 * n, token = channel * d + 6, head = token * t + 2;
        break;
    }
    bytes.assign(size_t(token * (t - 1) + head * (h - 1) + channel * (d - 1) + n), std::byte{0xa5});
  }
  std::byte* at(size_t t, size_t h, size_t c) {
    return bytes.data() + ptrdiff_t(t) * token + ptrdiff_t(h) * head + ptrdiff_t(c) * channel;
  }
  ConstPlane in() const { return {bytes.data(), token, head, channel}; }
  Plane out() { return {bytes.data(), token, head, channel}; }
  ptrdiff_t token, head, channel;
  std::vector<std::byte> bytes;
};

// The same values in any memory: value (t, h, c) depends on the three and a salt alone. Few enough
// exponents for every codec.
void fill(const speckv_layout& layout, Tensor& tensor, uint16_t salt) {
  const uint32_t span = layout.dtype == SPECKV_DTYPE_BF16 ? 0x0300 : 0x0c00;
  for (uint32_t t = 0; t < layout.block_tokens; ++t) {
    for (uint32_t h = 0; h < layout.kv_heads; ++h) {
      for (uint32_t c = 0; c < layout.head_dim; ++c) {
        const uint16_t bits = uint16_t(0x3000 + (t * 31 + h * 517 + c * 7 + salt) % span) ^
                              ((t + c) % 3 == 0 ? 0x8000 : 0);
        std::memcpy(tensor.at(t, h, c), &bits, layout.dtype == SPECKV_DTYPE_F8 ? 1 : 2);
      }
    }
  }
}

std::vector<std::byte> by_pages(const speckv_layout& layout, const Preset& preset, bool first,
                                Tensor& k, Tensor& v) {
  std::vector<std::byte> all;
  for (const Kind kind : {Kind::k, Kind::v}) {
    for (uint32_t head = 0; head < layout.kv_heads; ++head) {
      for (uint32_t page = 0; page * layout.page_tokens < layout.block_tokens; ++page) {
        const PageShape shape{uint16_t(layout.page_tokens), uint16_t(layout.head_dim),
                              uint8_t(layout.dtype), kind};
        Tensor& tensor = kind == Kind::k ? k : v;
        const CodecId id = first && page == 0 ? preset.first
                           : kind == Kind::k  ? preset.k
                                              : preset.v;
        std::vector<std::byte> payload((encoded_bytes(id, shape) + 31) / 32 * 32);
        const ConstView view{tensor.at(page * layout.page_tokens, head, 0), tensor.token,
                             tensor.channel};
        EXPECT_EQ(encode(id, shape, view, payload), Refusal::none);
        all.insert(all.end(), payload.begin(), payload.end());
      }
    }
  }
  return all;
}

uint64_t checksum_of(const std::vector<std::byte>& bytes) {
  Checksum sum;
  checksum_update(sum, bytes.data(), bytes.size());
  return checksum_final(sum);
}

void round_trip(const speckv_layout& layout, const Preset& preset, bool first, Memory memory) {
  Tensor k(layout, memory), v(layout, memory);
  fill(layout, k, 1), fill(layout, v, 99);
  const auto expected = by_pages(layout, preset, first, k, v);
  ASSERT_EQ(segment_bytes(layout, preset, first), expected.size());
  std::vector<std::byte> stored(expected.size());
  uint64_t checksum = 0;
  ASSERT_EQ(encode_segment(layout, preset, 0, first, {k.in(), v.in()}, stored, &checksum),
            Refusal::none);
  EXPECT_TRUE(stored == expected);
  EXPECT_EQ(checksum, checksum_of(expected));
  for (const Memory to : memories) {
    for (const bool stream : {false, true}) {
      Tensor k_out(layout, to), v_out(layout, to), k_page(layout, to), v_page(layout, to);
      EXPECT_EQ(
          decode_segment(layout, preset, 0, first, stored, {k_out.out(), v_out.out()}, stream),
          checksum);
      const std::byte* from = expected.data();
      for (Tensor* tensor : {&k_page, &v_page}) {
        for (uint32_t head = 0; head < layout.kv_heads; ++head) {
          for (uint32_t t = 0; t < layout.block_tokens; t += layout.page_tokens) {
            const Kind kind = tensor == &k_page ? Kind::k : Kind::v;
            const PageShape shape{uint16_t(layout.page_tokens), uint16_t(layout.head_dim),
                                  uint8_t(layout.dtype), kind};
            const CodecId id = first && t == 0   ? preset.first
                               : kind == Kind::k ? preset.k
                                                 : preset.v;
            const size_t bytes = encoded_bytes(id, shape);
            decode(id, shape, {from, bytes},
                   {tensor->at(t, head, 0), tensor->token, tensor->channel});
            from += (bytes + 31) / 32 * 32;
          }
        }
      }
      EXPECT_TRUE(k_out.bytes == k_page.bytes && v_out.bytes == v_page.bytes)
          << "memory " << int(to);
    }
  }
}

TEST(Segment, RoundTripsUnderEveryPresetShapeAndStride) {
  for (uint32_t id = SPECKV_PRESET_EXACT; id <= SPECKV_PRESET_LOSSLESS; ++id) {
    for (const uint32_t dtype : {SPECKV_DTYPE_F16, SPECKV_DTYPE_BF16}) {
      for (const uint32_t head_dim : {64u, 80u, 33u}) {
        const speckv_layout layout = make_layout(3, head_dim, 96, 32, dtype);
        Preset preset;
        if (!preset_for(layout, id, &preset)) continue;
        preset.bounded = false;  // fill() has quiet tokens beside loud ones; TokenBound asks for it
        for (const Memory memory : memories) {
          for (const bool first : {false, true}) {
            SCOPED_TRACE(std::string(preset_name(id)) + " d " + std::to_string(head_dim) +
                         " memory " + std::to_string(int(memory)) + (first ? " first" : ""));
            round_trip(layout, preset, first, memory);
          }
        }
      }
    }
  }
}

TEST(Segment, ExactGivesBackEveryBitOfEightBitFloatsAndOddShapes) {
  for (const uint32_t head_dim : {5u, 64u}) {
    const speckv_layout layout = make_layout(2, head_dim, 32, 16, SPECKV_DTYPE_F8);
    Preset preset;
    ASSERT_TRUE(preset_for(layout, SPECKV_PRESET_EXACT, &preset));
    for (const Memory memory : memories) round_trip(layout, preset, true, memory);
    ASSERT_TRUE(preset_for(layout, SPECKV_PRESET_Q8, &preset));
    EXPECT_EQ(preset.k, CodecId::raw) << "8-bit floats are stored as they are";
  }
}

TEST(Segment, LosslessStaysLosslessWhereItsCodecTakesNoPage) {
  Preset preset;
  for (const auto& [head_dim, dtype] :
       {std::pair{40u, SPECKV_DTYPE_BF16}, {272u, SPECKV_DTYPE_F16}, {64u, SPECKV_DTYPE_F8}}) {
    ASSERT_TRUE(
        preset_for(make_layout(2, head_dim, 64, 32, dtype), SPECKV_PRESET_LOSSLESS, &preset));
    for (const CodecId id : {preset.k, preset.v, preset.first}) EXPECT_EQ(id, CodecId::raw);
  }
  ASSERT_TRUE(
      preset_for(make_layout(2, 80, 64, 32, SPECKV_DTYPE_BF16), SPECKV_PRESET_LOSSLESS, &preset));
  for (const CodecId id : {preset.k, preset.v, preset.first}) EXPECT_EQ(id, CodecId::xpack);
}

TEST(Segment, FirstPageTakesItsOwnCodec) {
  const speckv_layout layout = make_layout(2, 64, 64, 32, SPECKV_DTYPE_F16);
  const Preset preset{CodecId::q8, CodecId::q8, CodecId::raw};
  EXPECT_EQ(segment_bytes(layout, preset, false), 8u * 2112);
  EXPECT_EQ(segment_bytes(layout, preset, true), 4u * 4096 + 4u * 2112);
  round_trip(layout, preset, true, Memory::per_token);
  round_trip(layout, {CodecId::raw, CodecId::raw, CodecId::q8}, true, Memory::per_head);
}

TEST(Segment, RefusesOnePageRefusesAll) {
  const speckv_layout layout = make_layout(2, 64, 64, 32, SPECKV_DTYPE_F16);
  const Preset preset{CodecId::q8, CodecId::q8, CodecId::q8};
  Tensor k(layout, Memory::per_head), v(layout, Memory::per_head);
  fill(layout, k, 1), fill(layout, v, 2);
  const uint16_t nan = 0x7e00;
  std::memcpy(v.at(63, 1, 63), &nan, 2);
  std::vector<std::byte> stored(segment_bytes(layout, preset, false));
  uint64_t checksum = 77;
  EXPECT_EQ(encode_segment(layout, preset, 0, false, {k.in(), v.in()}, stored, &checksum),
            Refusal::not_finite);
  EXPECT_EQ(checksum, 77u);
  stored.resize(segment_bytes(layout, {CodecId::raw, CodecId::raw, CodecId::raw}, false));
  EXPECT_EQ(encode_segment(layout, {CodecId::raw, CodecId::raw, CodecId::raw}, 0, false,
                           {k.in(), v.in()}, stored, &checksum),
            Refusal::none);
}

TEST(Segment, MalformedLayoutsAndShortBuffersDoNothing) {
  speckv_layout layout = make_layout(2, 64, 64, 32, SPECKV_DTYPE_F16);
  const Preset preset{CodecId::q8, CodecId::q8, CodecId::q8};
  Tensor k(layout, Memory::per_head), v(layout, Memory::per_head);
  const Tensor before = k;
  std::vector<std::byte> stored(segment_bytes(layout, preset, false) - 1);
  uint64_t checksum = 0;
  EXPECT_EQ(encode_segment(layout, preset, 0, false, {k.in(), v.in()}, stored, &checksum),
            Refusal::unsupported_shape);
  EXPECT_EQ(decode_segment(layout, preset, 0, false, stored, {k.out(), v.out()}, false), 0u);
  EXPECT_TRUE(k.bytes == before.bytes);
  for (const auto field :
       {&speckv_layout::kv_heads, &speckv_layout::head_dim, &speckv_layout::block_tokens,
        &speckv_layout::page_tokens, &speckv_layout::dtype}) {
    for (const uint32_t wrong : {0u, 63u, 5000u, ~0u}) {
      if (field == &speckv_layout::kv_heads && wrong == 63) continue;
      if (field == &speckv_layout::head_dim && wrong == 63) continue;
      speckv_layout bad = layout;
      bad.*field = wrong;
      EXPECT_EQ(segment_bytes(bad, preset, false), 0u);
      Preset found;
      EXPECT_FALSE(preset_for(bad, SPECKV_PRESET_EXACT, &found));
    }
  }
}

TEST(Segment, ChecksumSeesADamagedByte) {
  const speckv_layout layout = make_layout(1, 64, 32, 32, SPECKV_DTYPE_BF16);
  for (const CodecId id : {CodecId::raw, CodecId::q8}) {
    const Preset preset{id, id, id};
    Tensor k(layout, Memory::per_head), v(layout, Memory::per_head);
    fill(layout, k, 1), fill(layout, v, 2);
    std::vector<std::byte> stored(segment_bytes(layout, preset, false));
    uint64_t checksum = 0;
    ASSERT_EQ(encode_segment(layout, preset, 0, false, {k.in(), v.in()}, stored, &checksum),
              Refusal::none);
    for (size_t i = 0; i < stored.size(); i += 61) {
      stored[i] ^= std::byte{4};
      EXPECT_NE(decode_segment(layout, preset, 0, false, stored, {k.out(), v.out()}, false),
                checksum);
      stored[i] ^= std::byte{4};
    }
  }
}

TEST(Segment, ChangingInputOfNobodyIsTheSameAsSteady) {
  const speckv_layout layout = make_layout(2, 80, 64, 32, SPECKV_DTYPE_F16);
  for (uint32_t id = SPECKV_PRESET_EXACT; id <= SPECKV_PRESET_LOSSLESS; ++id) {
    Preset preset;
    ASSERT_TRUE(preset_for(layout, id, &preset));
    preset.bounded = false;  // as above
    for (const Memory memory : memories) {
      Tensor k(layout, memory), v(layout, memory);
      fill(layout, k, 1), fill(layout, v, 2);
      std::vector<std::byte> steady(segment_bytes(layout, preset, true)), changing(steady.size());
      uint64_t sums[2];
      ASSERT_EQ(encode_segment(layout, preset, 0, true, {k.in(), v.in()}, steady, &sums[0]),
                Refusal::none);
      ASSERT_EQ(encode_segment(layout, preset, 0, true, {k.in(), v.in()}, changing, &sums[1],
                               nullptr, Input::changing),
                Refusal::none);
      EXPECT_TRUE(steady == changing && sums[0] == sums[1]) << preset_name(id);
    }
  }
}

// A race on purpose, so not for ThreadSanitizer.
#if !defined(__SANITIZE_THREAD__)
TEST(Segment, RewrittenInputIsStoredUnderItsOwnChecksum) {
  const speckv_layout layout = make_layout(2, 64, 64, 32, SPECKV_DTYPE_F16);
  Tensor k(layout, Memory::per_head), v(layout, Memory::per_head);
  fill(layout, k, 1), fill(layout, v, 2);
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {  // values that change their scales, and such that are refused
    Random random(3);
    while (!stop.load(std::memory_order_relaxed)) {
      auto* at = reinterpret_cast<volatile uint16_t*>(k.bytes.data());
      const uint64_t bits = random();
      at[bits % (k.bytes.size() / 2)] = uint16_t(bits >> 48 & (bits >> 40 & 1 ? 0x7fff : 0x3fff));
    }
  });
  for (uint32_t id = SPECKV_PRESET_EXACT; id <= SPECKV_PRESET_LOSSLESS; ++id) {
    Preset preset;
    ASSERT_TRUE(preset_for(layout, id, &preset));
    for (int i = 0; i < 300; ++i) {
      std::vector<std::byte> stored(segment_bytes(layout, preset, i % 2 != 0));
      uint64_t checksum = 0;
      if (encode_segment(layout, preset, 0, i % 2 != 0, {k.in(), v.in()}, stored, &checksum,
                         nullptr, Input::changing) == Refusal::none) {
        EXPECT_EQ(checksum_of(stored), checksum) << preset_name(id);
      }
    }
  }
  stop = true;
  scribbler.join();
}
#endif

}  // namespace
}  // namespace speckv::codec::testing
