// SPDX-License-Identifier: Apache-2.0
// reuse_model.cpp - from histograms to worth. See reuse_model.hpp.
#include "predict/reuse_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace speckv::predict {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
// Round numbers; on the first half of Mooncake's conversation trace a factor of four either way
// moves the hit rate by less than 0.3 points.
// How fast the past fades: the more blocks, the longer each stays, and the rarer are the returns
// that tell one age from another there. Long sessions return a hundred blocks at once.
constexpr double kHalfLifeReturnsPerBlock = 32;
constexpr double kHalfLifeReturnsMin = 32'768;
constexpr double kPriorUses = 1'000;       // weight of "falls as 1/age" against all that was seen
constexpr double kPriorReturnShare = 0.3;  // of which this share comes back at all
constexpr double kClassPriorUses = 500;    // weight of all classes together against one class's own

// Bin 0 is below 1 ms; bin 1 + 2o is [2^o, 1.5 * 2^o) ms, bin 2 + 2o is [1.5 * 2^o, 2^(o+1)) ms.
double bin_start_s(uint32_t bin) {
  if (bin == 0) return 0;
  const double octave_s = std::ldexp(1e-3, int(bin - 1) / 2);
  return bin % 2 == 1 ? octave_s : 1.5 * octave_s;
}

}  // namespace

ReuseModel::ReuseModel(uint32_t capacity)
    : half_life_returns_(std::max(kHalfLifeReturnsMin, kHalfLifeReturnsPerBlock * capacity)) {
  refresh();
}

uint32_t ReuseModel::bin_of(uint64_t age_ns) {
  const uint64_t age_ms = age_ns / kNsPerMs;
  if (age_ms == 0) return 0;
  const uint32_t octave = uint32_t(std::bit_width(age_ms)) - 1;
  const uint32_t upper_half = octave > 0 ? (age_ms >> (octave - 1)) & 1 : 0;
  return std::min(1 + 2 * octave + upper_half, kBins - 1);
}

void ReuseModel::refresh() {
  const double keep = std::exp2(-double(kRefreshEvents) / half_life_returns_);
  double all_uses = kPriorUses;
  Bins share;
  share.fill(kPriorUses * kPriorReturnShare / kBins);
  for (uint32_t cls = 0; cls < kClasses; ++cls) {
    if (events_ > 0) {
      uses_[cls] *= keep;
      for (double& n : returns_[cls]) n *= keep;
    }
    all_uses += uses_[cls];
    for (uint32_t bin = 0; bin < kBins; ++bin) share[bin] += returns_[cls][bin];
  }
  for (double& n : share) n /= all_uses;
  for (uint32_t cls = 0; cls < kClasses; ++cls) refresh_class(cls, share);
}

void ReuseModel::refresh_class(uint32_t cls, const Bins& shared_share) {
  Bins back;       // come back in this bin
  Bins waiting_s;  // time spent in this bin by those that reach it
  double alive = uses_[cls] + kClassPriorUses;
  for (uint32_t bin = 0; bin < kBins; ++bin) {
    const double n = returns_[cls][bin] + kClassPriorUses * shared_share[bin];
    back[bin] = std::min(n, alive);  // decay can leave more returns than uses
    waiting_s[bin] = (alive - back[bin] / 2) * (bin_start_s(bin + 1) - bin_start_s(bin));
    alive -= back[bin];
  }
  for (uint32_t bin = 0; bin < kBins; ++bin) {
    double hits = 0, kept_s = 0, best = 0;
    for (uint32_t until = bin; until < kBins; ++until) {
      hits += back[until];
      kept_s += waiting_s[until];
      if (kept_s > 0) best = std::max(best, hits / kept_s);
    }
    worth_[cls][bin] = float(best);
  }
}

}  // namespace speckv::predict
