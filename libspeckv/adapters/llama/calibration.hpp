// SPDX-License-Identifier: Apache-2.0
// calibration.hpp - measures, on one text, how much an error in each RoPE pair of K costs.
//
// Weight of a pair = 256 * log2(E[q^2] * R): E[q^2] is the mean square of the queries that meet
// this kv head, both channels of the pair; R what chanq has to span of K (codec/chan_residual.hpp),
// mean over the text's pages. E[q^2] does not depend on the angle, so queries may be seen before or
// after RoPE. Who calls it: speckv-calibrate. Never: touches a daemon, keeps text. Threading: one
// thread; makes a context of its own.
#pragma once

#include <span>
#include <string>

#include "codec/chan_table.hpp"
#include "llama.h"

namespace speckv::llama {

struct CalibrationOptions {
  uint32_t page_tokens = 32;
  uint32_t tokens_max = 2048;
  int threads = 2;
  bool queries = true;  // false: K alone, as a store that never sees a query would measure it
};

// Returns: false with one sentence when the model's KV is nothing that chanq takes, has no RoPE
// metadata, K or queries are not finite, or the text is shorter than four pages. True: *ret_why is
// empty, or one sentence that the user should see (GraphTap::rope_note()).
// ret_weights->weights_digest stays the caller's.
[[nodiscard]] bool calibrate(llama_model* model, std::span<const llama_token> tokens,
                             const CalibrationOptions& options, codec::ChanWeights* ret_weights,
                             std::string* ret_why);

}  // namespace speckv::llama
