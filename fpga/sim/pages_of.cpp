// SPDX-License-Identifier: Apache-2.0
#include "pages_of.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "codec/chanq.hpp"
#include "codec/checksum.hpp"
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/q8.hpp"
#include "codec/rowq.hpp"
#include "codec/xpack.hpp"

namespace speckv::fpga {

using codec::CodecId;
using codec::PageShape;
using codec::testing::Random;

namespace {

const std::vector<Values>& real_pages() {
  static const std::vector<Values> pages = [] {
    std::vector<Values> read;
    std::ifstream file(SPECKV_VECTORS, std::ios::binary);
    Values page(size_t{32} * 64);
    while (file.read(reinterpret_cast<char*>(page.data()), std::streamsize(2 * page.size())))
      read.push_back(page);
    if (read.empty()) throw std::runtime_error("no real pages in " SPECKV_VECTORS);
    return read;
  }();
  return pages;
}

codec::ConstView view_of(const Values& page, const PageShape& shape) {
  return {reinterpret_cast<const std::byte*>(page.data()), 2 * shape.head_dim, 2};
}

}  // namespace

uint32_t page_cfg(CodecId id, const PageShape& shape) {
  const auto tokens = uint32_t(std::countr_zero(unsigned(shape.tokens)) - 4);
  const uint32_t blocks = shape.head_dim / 64u - 1;
  return uint32_t(id) << 5 | uint32_t(codec::is_bf16(shape.dtype)) << 4 | tokens << 2 | blocks;
}

PageShape any_shape(Random& random) {
  PageShape shape{32, 64, SPECKV_DTYPE_F16, codec::Kind::v};
  if (random() % 3 == 0) return shape;
  shape.tokens = uint16_t(16u << random() % 3);
  shape.head_dim = uint16_t(64 * (1 + random() % 4));
  shape.dtype = random() % 2 == 0 ? SPECKV_DTYPE_F16 : SPECKV_DTYPE_BF16;
  return shape;
}

Values any_page(const PageShape& shape, Random& random, bool calm) {
  const bool real = shape.tokens == 32 && shape.head_dim == 64 && shape.dtype == SPECKV_DTYPE_F16;
  if (real && random() % 2 == 0) return real_pages()[random() % real_pages().size()];
  // The list begins with the calm ones.
  const size_t textures = calm ? 7 : std::size(codec::testing::textures);
  const auto texture = codec::testing::textures[random() % textures];
  Values page = codec::testing::make_page(shape, texture, random);
  if (!calm && random() % 8 == 0) {
    // Few values around an encoder's limit: the others do not make the page refused.
    // Half of the time right below one, or at it: of q8, then of rowq.
    static constexpr uint16_t limits[2][2] = {{0x7800, 0x7400}, {0x496f, 0x4980}};
    const bool bf16 = codec::is_bf16(shape.dtype);
    const auto at = uint16_t(limits[bf16][random() % 2] - random() % 2);
    const uint16_t lowest = bf16 ? 0x4880 : 0x6c00;
    const bool exact = random() % 2 == 0;
    for (uint64_t left = uint64_t{1} << random() % 7; left > 0; --left)
      page[random() % page.size()] = exact ? at : uint16_t(lowest + random() % 0x1000);
  }
  if (!calm && random() % 8 == 0) {
    // A row of equal values: the transform makes one large value of it, around a row's own limit.
    const bool bf16 = codec::is_bf16(shape.dtype);
    const auto value = uint16_t(bf16 ? 0x7b00 + random() % 0x480 : 0x4c00 + random() % 0x2c00);
    const auto row = page.begin() + ptrdiff_t(random() % shape.tokens * shape.head_dim);
    std::fill_n(row, shape.head_dim, value);
  }
  return page;
}

size_t stored_bytes(CodecId id, const PageShape& shape) {
  switch (id) {
    case CodecId::raw:
      return shape.raw_bytes();
    case CodecId::q8:
      return codec::q8_bytes(shape);
    case CodecId::q8sink:
      return codec::q8sink_bytes(shape);
    case CodecId::xpack:
      return codec::xpack_map(shape).bytes;
    default:
      if (codec::is_chanq(id)) return codec::chanq_bytes(id, shape);
      return codec::rowq_bytes(codec::rowq_bits(id), shape);
  }
}

std::optional<Bytes> golden_encode(CodecId id, const PageShape& shape, const Values& page,
                                   codec::Refusal* ret_refusal, const codec::ChanTable* table) {
  Bytes bytes(stored_bytes(id, shape));
  codec::Refusal refusal = codec::Refusal::none;
  const codec::ConstView view = view_of(page, shape);
  switch (id) {
    case CodecId::raw:
      std::memcpy(bytes.data(), page.data(), bytes.size());
      break;
    case CodecId::q8:
      refusal = codec::golden::q8_encode(shape, view, bytes.data());
      break;
    case CodecId::q8sink:
      refusal = codec::golden::q8sink_encode(shape, view, bytes.data());
      break;
    case CodecId::xpack:
      refusal = codec::golden::xpack_encode(shape, view, bytes.data());
      break;
    default:
      refusal = codec::is_chanq(id)
                    ? codec::golden::chanq_encode(id, shape, view, bytes.data(), *table)
                    : codec::golden::rowq_encode(codec::rowq_bits(id), shape, view, bytes.data());
  }
  if (ret_refusal != nullptr) *ret_refusal = refusal;
  if (refusal != codec::Refusal::none) return std::nullopt;
  return bytes;
}

Values golden_decode(CodecId id, const PageShape& shape, const Bytes& bytes,
                     const codec::ChanTable* table) {
  Values page(shape.values());
  const codec::View view{reinterpret_cast<std::byte*>(page.data()), 2 * shape.head_dim, 2};
  switch (id) {
    case CodecId::raw:
      std::memcpy(page.data(), bytes.data(), 2 * page.size());
      break;
    case CodecId::q8:
      codec::golden::q8_decode(shape, bytes.data(), view);
      break;
    case CodecId::q8sink:
      codec::golden::q8sink_decode(shape, bytes.data(), view);
      break;
    case CodecId::xpack:
      codec::golden::xpack_decode(shape, bytes.data(), view);
      break;
    default:
      if (codec::is_chanq(id)) codec::golden::chanq_decode(id, shape, bytes.data(), view, *table);
      else codec::golden::rowq_decode(codec::rowq_bits(id), shape, bytes.data(), view);
  }
  return page;
}

Bytes any_encoded(CodecId id, const PageShape& shape, Random& random,
                  const codec::ChanTable* table) {
  if (random() % 4 != 0) {
    const Values page = any_page(shape, random);
    if (auto bytes = golden_encode(id, shape, page, nullptr, table)) return *bytes;
  }
  Bytes bytes(stored_bytes(id, shape));
  for (std::byte& byte : bytes) byte = std::byte(random());
  if (codec::is_chanq(id) && random() % 2 == 0) {
    // A header that leaves something to see; its bounds more often than not.
    static constexpr uint8_t fields[] = {0, 1, 2, 15, 29, 30, 31, 32, 99, 100, 127, 160, 161};
    bytes[0] = std::byte(fields[random() % std::size(fields)]);
    bytes[1] = std::byte(64 + random() % 60);
    bytes[2] = std::byte(random() % 4);
  }
  return bytes;
}

uint64_t golden_checksum(const Bytes& bytes) {
  codec::Checksum sum;
  for (size_t at = 0; at < bytes.size(); at += codec::checksum_beat)
    codec::golden::sum_beat(sum, bytes.data() + at);
  sum.bytes = bytes.size();
  return codec::checksum_final(sum);
}

}  // namespace speckv::fpga
