// SPDX-License-Identifier: Apache-2.0
// chan_residual.hpp - how large what chanq has to quantise is: once RoPE is undone relative to the
// page start, half of what each channel of a page of K spans, squared. chanq's step is that half
// divided by a power of two, so its error's mean square is this number times the same constant for
// every channel.
//
// What for: weights of a calibration table. With the queries' E[q^2] beside it, it is the full
// table; alone it is what anyone who sees K and no query can know. Who calls it: calibration.
// Floating point, so two machines may differ in last places: a table is measured once and then
// travels as a file (chan_table.hpp). Threading: pure functions.
#pragma once

#include <span>

#include "codec/chan_table.hpp"

namespace speckv::codec {

// Adds the page's squares to sums[pair]; a pair's is the mean of its two channels. Returns: false,
// and adds nothing, for a page that holds NaN or infinity. Requires: sums.size() ==
// table.map.pairs(), fp16 or bf16 values of table's shape.
bool add_chan_residual(const ChanTable& table, uint8_t dtype, const ConstView& page,
                       std::span<double> sums);

// The weight of a pair whose error costs `importance`: E[q^2] * residual, or the residual alone.
// Zero or less: chan_weight_dead.
ChanWeight chan_weight(double importance);

}  // namespace speckv::codec
