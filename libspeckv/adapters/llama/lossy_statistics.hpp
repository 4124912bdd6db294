// SPDX-License-Identifier: Apache-2.0
// lossy_statistics.hpp - what two runs over the same text differ by, position by position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace speckv::llama {

// One position's distribution over the next token.
struct Distribution {
  std::vector<float> ln;  // log-probabilities
  std::vector<float> p;
  int32_t top = 0;
  void set(std::span<const float> logits);
};

// One document, one variant.
struct Loss {
  std::vector<float> kld;  // nats, a value each position
  uint64_t same_top1 = 0;
  double ln_ppl_sum = 0;  // of the variant minus the reference's, over the next true token
  uint64_t broken = 0;    // positions whose logits are NaN or infinite; in none of the above
  void add(const Distribution& reference, std::span<const float> logits, int32_t next);
};

// All documents of one variant; means are over documents, errors between them.
struct Summary {
  double kld = 0, kld_se = 0, kld_p99 = 0;
  double top1 = 0, top1_se = 0;      // 0..1
  double ln_ppl = 0, ln_ppl_se = 0;  // difference a token, paired by document
  uint64_t positions = 0;
  uint64_t broken = 0;     // while there are any, no other figure means anything
  uint64_t documents = 0;  // of one alone, errors are not known: they are 0
};
// Whether all are numbers that can be compared.
bool all_finite(std::span<const float> logits);
Summary summarise(const std::vector<Loss>& documents);

}  // namespace speckv::llama
