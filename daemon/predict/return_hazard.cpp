// SPDX-License-Identifier: Apache-2.0
// return_hazard.cpp - from counts to the chance to be back soon. See return_hazard.hpp.
#include "predict/return_hazard.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace speckv::predict {
namespace {

constexpr uint64_t kNsPerS = 1'000'000'000;
constexpr double kHalfLifeEvents = 8'192;  // how fast the past fades
// A bin says nothing until some sessions were seen in it; all kinds together stand in meanwhile,
// and before them nobody comes back: speculation starts when it has learnt.
constexpr double kKindPrior = 16, kPrior = 16;

}  // namespace

uint32_t ReturnHazard::bin_of(uint64_t silent_ns) {
  const uint64_t silent_s = silent_ns / kNsPerS;
  if (silent_s == 0) return 0;
  const uint32_t octave = uint32_t(std::bit_width(silent_s)) - 1;
  const uint32_t upper_half = octave > 0 ? (silent_s >> (octave - 1)) & 1 : 0;
  return std::min(1 + 2 * octave + upper_half, kBins - 1);
}

double ReturnHazard::bin_start_s(uint32_t bin) {
  if (bin == 0) return 0;
  if (bin == 2) return 2;  // empty: seconds have no upper half between 1 and 2
  const double octave_s = std::ldexp(1.0, int(bin - 1) / 2);
  return bin % 2 == 1 ? octave_s : 1.5 * octave_s;
}

void ReturnHazard::refresh() {
  const double keep = events_ > 0 ? std::exp2(-double(kRefreshEvents) / kHalfLifeEvents) : 1.0;
  Bins hazard_of_all;
  for (uint32_t bin = 0; bin < kBins; ++bin) {
    double reached = kPrior, returned = 0;
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      reached += reached_[kind][bin] *= keep;
      returned += returned_[kind][bin] *= keep;
    }
    hazard_of_all[bin] = returned / reached;
  }
  for (uint32_t kind = 0; kind < kKinds; ++kind) {
    Bins hazard;
    for (uint32_t bin = 0; bin < kBins; ++bin) {
      hazard[bin] = std::min(1.0, (returned_[kind][bin] + kKindPrior * hazard_of_all[bin]) /
                                      (reached_[kind][bin] + kKindPrior));
    }
    for (uint32_t bin = 0; bin < kBins; ++bin) {
      double away = 1, left_s = horizon_s, waited_s = 0;
      for (uint32_t b = bin; b < kBins && left_s > 0; ++b) {
        const double width_s = b + 1 < kBins ? bin_start_s(b + 1) - bin_start_s(b) : left_s;
        const double part = std::min(1.0, left_s / width_s);
        const double back = away * part * hazard[b];
        waited_s += back * (horizon_s - left_s + part * width_s / 2);
        away -= back;
        left_s -= width_s;
      }
      soon_[kind][bin] = float(1 - away);
      wait_s_[kind][bin] = float(away < 1 ? waited_s / (1 - away) : horizon_s);
    }
  }
}

}  // namespace speckv::predict
