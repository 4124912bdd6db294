// SPDX-License-Identifier: Apache-2.0
// return_hazard.hpp - when does a silent session speak again? Learnt per kind from what happens.
//
// What it is: for each kind of session (how it paced before) and each bin of silence, how many
//   sessions reached that bin and how many spoke again in it: the hazard, right for sessions that
//   are still silent and for those that never speak again. From it the chance to be back soon.
// Who uses it: speculator.cpp. Cost: one addition an event; a table of kKinds x kBins on refresh().
#pragma once

#include <array>
#include <cstdint>

namespace speckv::predict {

class ReturnHazard {
 public:
  static constexpr uint32_t kKinds = 4;
  static constexpr uint32_t kBins = 36;  // of silence, two an octave from 1 s to 51 h

  static uint32_t bin_of(uint64_t silent_ns);
  static double bin_start_s(uint32_t bin);

  void on_reached(uint32_t kind, uint32_t bin) { reached_[kind][bin] += 1; }
  void on_returned(uint32_t kind, uint32_t bin) {
    returned_[kind][bin] += 1;
    if (++events_ % kRefreshEvents == 0) refresh();
  }
  // Returns: the chance that a session which has just reached `bin` is back within the horizon.
  float soon(uint32_t kind, uint32_t bin) const { return soon_[kind][bin]; }
  // Returns: how long one that is back within the horizon is silent still, in the mean.
  float wait_s(uint32_t kind, uint32_t bin) const { return wait_s_[kind][bin]; }
  void refresh();

  double horizon_s = 600;  // for so long a fetched block waits in the pool for its reader

 private:
  static constexpr uint32_t kRefreshEvents = 64;
  using Bins = std::array<double, kBins>;
  std::array<Bins, kKinds> reached_{}, returned_{};
  std::array<std::array<float, kBins>, kKinds> soon_{}, wait_s_{};
  uint64_t events_ = 0;
};

}  // namespace speckv::predict
