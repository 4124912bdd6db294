// SPDX-License-Identifier: Apache-2.0
#include "pages.hpp"

#include <cmath>
#include <cstring>

#include "codec/half.hpp"

namespace speckv::codec::testing {
namespace {

uint16_t to_half(double value, bool bf16) {
  if (value == 0) return 0;
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);
  return round_to_half(static_cast<int64_t>(std::ldexp(mantissa, 40)), exponent - 40, bf16);
}

double random_scale(Random& random) {
  return std::exp2(std::uniform_real_distribution(-12.0, 8.0)(random));
}

void fill_channels(const PageShape& shape, Random& random, std::vector<uint16_t>& page) {
  std::normal_distribution normal;
  const bool bf16 = is_bf16(shape.dtype);
  const double scale = random_scale(random);
  for (size_t c = 0; c < shape.head_dim; ++c) {
    const double spread = scale * std::exp2(normal(random));
    const double offset = normal(random) * spread * (random() % 16 == 0 ? 12 : 2);
    const double turn = std::pow(10000.0, -double(c) / shape.head_dim);
    for (size_t t = 0; t < shape.tokens; ++t) {
      page[t * shape.head_dim + c] =
          to_half(offset * std::cos(double(t) * turn) + spread * normal(random), bf16);
    }
  }
}

void fill_tokens(const PageShape& shape, Random& random, std::vector<uint16_t>& page) {
  std::normal_distribution normal;
  const double scale = random_scale(random);
  for (size_t t = 0; t < shape.tokens; ++t) {
    const double loudness = random() % 4 == 0 ? 0 : scale * std::exp2(-double(random() % 16));
    for (size_t c = 0; c < shape.head_dim; ++c)
      page[t * shape.head_dim + c] = to_half(loudness * normal(random), is_bf16(shape.dtype));
  }
}

uint16_t any_value(Texture texture, bool bf16, double scale, Random& random) {
  const uint16_t sign = random() % 2 != 0 ? 0x8000 : 0;
  const uint16_t limit = infinity_bits(bf16);
  switch (texture) {
    case Texture::normal:
      return to_half(scale * std::normal_distribution()(random), bf16);
    case Texture::zero:
      return sign;
    case Texture::subnormal:
      return sign | random() % (bf16 ? 1 << 7 : 1 << 10);
    case Texture::spike:
      return to_half(scale / 4096 * std::normal_distribution()(random), bf16);
    case Texture::any_finite:
      return sign | random() % limit;
    case Texture::near_limit:
      return sign | static_cast<uint16_t>((bf16 ? 0x4960 : 0x77f0) + random() % 16);
    case Texture::edges: {
      const int bits = int(random() % 16) * 1024 * (bf16 ? 2 : 1) + int(random() % 5) - 2;
      return sign | static_cast<uint16_t>(std::min<int>(bits < 0 ? 0 : bits, limit - 1));
    }
    default:
      return static_cast<uint16_t>(random());
  }
}

}  // namespace

std::vector<uint16_t> make_page(const PageShape& shape, Texture texture, Random& random) {
  const bool bf16 = is_bf16(shape.dtype);
  std::vector<uint16_t> page(shape.values());
  const double scale = random_scale(random);
  if (texture == Texture::channels) {
    fill_channels(shape, random, page);
  } else if (texture == Texture::tokens) {
    fill_tokens(shape, random, page);
  } else if (texture == Texture::constant) {
    page.assign(page.size(), to_half(scale * std::normal_distribution()(random), bf16));
  } else {
    for (uint16_t& value : page) value = any_value(texture, bf16, scale, random);
  }
  if (texture == Texture::spike) page[random() % page.size()] = to_half(scale, bf16);
  // Ranges far below a codec's limit are the common case for finite pages too.
  if (texture == Texture::any_finite && random() % 2 == 0) {
    const uint16_t top = static_cast<uint16_t>(random() % infinity_bits(bf16));
    for (uint16_t& value : page) {
      if (magnitude(value) > top) value = (value & 0x8000) | magnitude(value) % (top + 1);
    }
  }
  return page;
}

StridedPage::StridedPage(const PageShape& shape, Layout layout) : shape_(shape) {
  const ptrdiff_t d = shape.head_dim, t = shape.tokens;
  switch (layout) {
    case Layout::contiguous:
      token_stride_ = 2 * d, channel_stride_ = 2;
      break;
    case Layout::padded_rows:
      token_stride_ = 2 * d * 3, channel_stride_ = 2;
      break;
    case Layout::transposed:
      token_stride_ = 2, channel_stride_ = 2 * (t + 24);
      break;
    case Layout::odd_channels:
      token_stride_ = 6 * d + 10, channel_stride_ = 6;
      break;
    case Layout::backwards:
      token_stride_ = -2 * d, channel_stride_ = 2;
      break;
  }
  const ptrdiff_t reach_t = token_stride_ * (t - 1), reach_c = channel_stride_ * (d - 1);
  const ptrdiff_t low = std::min<ptrdiff_t>(reach_t, 0) + std::min<ptrdiff_t>(reach_c, 0);
  const ptrdiff_t high = std::max<ptrdiff_t>(reach_t, 0) + std::max<ptrdiff_t>(reach_c, 0);
  constexpr ptrdiff_t guard = 64;
  origin_ = static_cast<size_t>(guard - low);
  memory_.assign(static_cast<size_t>(high - low + 2 + 2 * guard), std::byte{0xa5});
}

void StridedPage::fill(const std::vector<uint16_t>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const ptrdiff_t at = ptrdiff_t(i / shape_.head_dim) * token_stride_ +
                         ptrdiff_t(i % shape_.head_dim) * channel_stride_;
    std::memcpy(memory_.data() + origin_ + at, &values[i], 2);
  }
}

std::vector<uint16_t> StridedPage::values() const {
  std::vector<uint16_t> values(shape_.values());
  for (size_t i = 0; i < values.size(); ++i) {
    const ptrdiff_t at = ptrdiff_t(i / shape_.head_dim) * token_stride_ +
                         ptrdiff_t(i % shape_.head_dim) * channel_stride_;
    std::memcpy(&values[i], memory_.data() + origin_ + at, 2);
  }
  return values;
}

ConstView StridedPage::view() const {
  return {memory_.data() + origin_, token_stride_, channel_stride_};
}
View StridedPage::view() { return {memory_.data() + origin_, token_stride_, channel_stride_}; }

bool StridedPage::intact() const {
  std::vector<bool> owned(memory_.size());
  for (size_t i = 0; i < shape_.values(); ++i) {
    const ptrdiff_t at = ptrdiff_t(i / shape_.head_dim) * token_stride_ +
                         ptrdiff_t(i % shape_.head_dim) * channel_stride_;
    owned[origin_ + size_t(at)] = owned[origin_ + size_t(at) + 1] = true;
  }
  for (size_t i = 0; i < memory_.size(); ++i) {
    if (!owned[i] && memory_[i] != std::byte{0xa5}) return false;
  }
  return true;
}

}  // namespace speckv::codec::testing
