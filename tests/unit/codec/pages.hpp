// SPDX-License-Identifier: Apache-2.0
// pages.hpp - pages for the codec tests: random and adversarial values under every stride a caller
// may have.
#pragma once

#include <random>
#include <vector>

#include "codec/codec.hpp"

namespace speckv::codec::testing {

using Random = std::mt19937_64;

enum class Texture {
  normal,      // independent values around a random scale
  channels,    // per-channel offsets and scales with a few huge channels, slowly turning: like K
  tokens,      // loud, quiet and silent tokens in turn
  constant,    // one value everywhere
  zero,        // both zeros
  subnormal,   // nothing but the format's smallest numbers
  spike,       // tiny values and one huge one
  any_finite,  // every finite bit pattern alike
  near_limit,  // around the largest magnitude a codec takes
  edges,       // powers of two and their neighbours
  any_bits,    // NaN and infinities too
};
inline constexpr Texture textures[] = {Texture::normal,   Texture::channels,   Texture::tokens,
                                       Texture::constant, Texture::zero,       Texture::subnormal,
                                       Texture::spike,    Texture::any_finite, Texture::near_limit,
                                       Texture::edges,    Texture::any_bits};

// Values in page order.
std::vector<uint16_t> make_page(const PageShape& shape, Texture texture, Random& random);

enum class Layout { contiguous, padded_rows, transposed, odd_channels, backwards };
inline constexpr Layout layouts[] = {Layout::contiguous, Layout::padded_rows, Layout::transposed,
                                     Layout::odd_channels, Layout::backwards};

// Memory for one page under a layout of strides, guarded on both sides: intact() tells whether
// anything outside the page's own values was written.
class StridedPage {
 public:
  StridedPage(const PageShape& shape, Layout layout);
  void fill(const std::vector<uint16_t>& values);
  std::vector<uint16_t> values() const;
  ConstView view() const;
  View view();
  bool intact() const;

 private:
  PageShape shape_;
  ptrdiff_t token_stride_ = 0;
  ptrdiff_t channel_stride_ = 0;
  size_t origin_ = 0;
  std::vector<std::byte> memory_;
};

}  // namespace speckv::codec::testing
