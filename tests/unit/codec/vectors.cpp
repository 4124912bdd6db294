// SPDX-License-Identifier: Apache-2.0
// vectors.cpp - prints stored pages and what the library decodes from them, one JSON object a line,
// for decoder.py. Every codec, dtype, shape and pairing; pages that an encoder made and foreign
// bytes. Usage: codec_vectors [PAGES [SEED]]
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "codec/chanq.hpp"
#include "codec/checksum.hpp"
#include "pages.hpp"

namespace speckv::codec::testing {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<int>(byte) >> 4];
    text += digits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

struct Setting {
  PageShape shape;
  speckv_layout layout;
  std::unique_ptr<ChanTables> tables;
};

Setting random_setting(Random& random) {
  static constexpr uint16_t dims[] = {64, 64, 128, 80, 96, 192, 256, 16, 48};
  Setting s{};
  s.shape = {uint16_t(16 << random() % 3), dims[random() % std::size(dims)],
             uint8_t(random() % 2 != 0 ? SPECKV_DTYPE_F16 : SPECKV_DTYPE_BF16), Kind::k};
  s.layout.dtype = s.shape.dtype;
  s.layout.layers = s.layout.kv_heads = 1;
  s.layout.head_dim = s.shape.head_dim;
  s.layout.page_tokens = s.shape.tokens;
  s.layout.rope = uint32_t(random() % 3);
  s.layout.rope_dims = random() % 2 != 0 ? 0 : s.layout.head_dim / 2;
  s.layout.rope_theta[0] = 1e5F;
  ChanWeights weights;
  weights.layers = weights.kv_heads = 1;
  weights.pairs = uint16_t(s.shape.head_dim / 2);
  for (size_t i = 0; i < weights.pairs; ++i) weights.weight.push_back(ChanWeight(random() % 4096));
  std::string error;
  s.tables = ChanTables::make(s.layout, random() % 4 == 0 ? nullptr : &weights, &error);
  return s;
}

void print_page(CodecId id, const Setting& s, Random& random) {
  const ChanTable* table = is_chanq(id) ? s.tables->data() : nullptr;
  std::vector<std::byte> stored(encoded_bytes(id, s.shape, table));
  const auto values = make_page(s.shape, textures[random() % std::size(textures)], random);
  const ptrdiff_t row = ptrdiff_t{2} * s.shape.head_dim;
  const ConstView in{reinterpret_cast<const std::byte*>(values.data()), row, 2};
  if (encode(id, s.shape, in, stored, table) != Refusal::none || random() % 8 == 0) {
    for (std::byte& byte : stored) byte = std::byte(random());
  }
  std::vector<std::byte> decoded(s.shape.raw_bytes());
  decode(id, s.shape, stored, {decoded.data(), row, 2}, table);
  std::string widths;
  for (size_t i = 0; table != nullptr && i < table->map.pairs(); ++i) {
    widths += (i > 0 ? "," : "") + std::to_string(table->widths[chanq_index(id)][i]);
  }
  Checksum sum;
  checksum_update(sum, stored.data(), stored.size());
  const uint32_t dims = s.layout.rope_dims == 0 ? s.layout.head_dim : s.layout.rope_dims;
  std::printf(
      "{\"codec\":\"%s\",\"tokens\":%d,\"head_dim\":%d,\"bf16\":%s,\"rope\":%u,\"rotated\":%u,"
      "\"theta\":%.1f,\"widths\":[%s],\"checksum\":\"%016llx\",\"stored\":\"%s\","
      "\"values\":\"%s\"}\n",
      std::string(name(id)).c_str(), s.shape.tokens, s.shape.head_dim,
      s.shape.dtype == SPECKV_DTYPE_BF16 ? "true" : "false", s.layout.rope,
      s.layout.rope == SPECKV_ROPE_NONE ? 0 : dims, double(s.layout.rope_theta[0]), widths.c_str(),
      static_cast<unsigned long long>(checksum_final(sum)), hex(stored).c_str(),
      hex(decoded).c_str());
}

}  // namespace
}  // namespace speckv::codec::testing

int main(int argc, char** argv) {
  using namespace speckv::codec;
  const unsigned long pages = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 300;
  testing::Random random(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1);
  for (unsigned long i = 0; i < pages;) {
    const auto setting = testing::random_setting(random);
    for (int id = 0; id < 256; ++id) {
      if (encoded_bytes(CodecId(id), setting.shape) == 0) continue;
      testing::print_page(CodecId(id), setting, random);
      ++i;
    }
  }
}
