// SPDX-License-Identifier: Apache-2.0
// statistics.hpp - what two runs over the same text differ by, position by position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace speckv::quality {

// One document, one variant.
struct Loss {
  std::vector<float> kld;  // nats, a value each position
  uint64_t same_top1 = 0;
  double ln_ppl_sum = 0;  // of the variant minus the reference's, over the next true token
  void add(std::span<const float> reference, std::span<const float> variant, int32_t next);
};

// All documents of one variant; means are over documents, errors between them.
struct Summary {
  double kld = 0, kld_se = 0, kld_p99 = 0;
  double top1 = 0, top1_se = 0;      // 0..1
  double ln_ppl = 0, ln_ppl_se = 0;  // difference a token, paired by document
  uint64_t positions = 0;
};
Summary summarise(const std::vector<Loss>& documents);

}  // namespace speckv::quality
