// SPDX-License-Identifier: Apache-2.0
// size_curve.hpp - what share of the asked blocks a smaller or larger pool would have had.
//
// What it is: pools without bytes, half to four times as large as the one that runs, each with the
//   policy that the real one has. They are told what is asked and count what they would have had.
// How: of all keys only every 2^k-th is looked at, chosen by its hash, in pools that are 2^k times
//   smaller: a sample of the keys has the same curve as all of them (Waldspurger et al., "Efficient
//   MRC Construction with SHARDS", FAST '15, and "Cache Modeling and Optimization using Miniature
//   Simulations", ATC '17). k grows as needed, so that the memory is the same for every pool. A
//   block's parent is here its nearest ancestor that is looked at, so a sequence is still one.
// Who calls it: the data thread that owns the shard (journey/), tests/unit/predict, tests/bench.
// Threading: one object, one thread. Never: I/O, a clock, an allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "predict/policy.hpp"

namespace speckv::predict {

// Times the pool's bytes. Between two of them the curve is close to straight over the logarithm.
inline constexpr std::array<double, 7> kSizeSteps = {0.5, 0.70710678, 1, 1.41421356,
                                                     2,   2.82842712, 4};
inline constexpr uint32_t kSizeModels = kSizeSteps.size() + 1;  // the last: see bytes_below
inline constexpr uint32_t kSizeSamplesMax = 65'536;

struct SizeCurveOptions {
  std::string_view policy;   // see policy_names()
  uint64_t pool_bytes = 0;   // of the pool that runs
  uint64_t bytes_below = 0;  // of a tier below it: the last model has both. 0: there is none
  uint32_t samples = 0;      // blocks that are looked at in a pool of that size; 1..kSizeSamplesMax
  uint64_t half_life = 65'536;  // see Count; 0: all weigh the same for ever
};

// One block that somebody asked for, whether it was there or not.
struct BlockUse {
  uint64_t key_hash = 0;
  uint64_t now_ns = 0;
  uint64_t ancestor = 0;  // key hash of the nearest ancestor that looks_at(); 0: none, unknown
  uint32_t position = kPositionUnknown;
  uint32_t stored_bytes = 0;
  uint8_t kind = 0;  // enum speckv_kind
};

class SizeCurve {
 public:
  // What a model counted. Older counts weigh less: both are halved after every half_life of uses.
  // A key that everybody asks for is looked at or not, by chance; that many uses too many or too
  // few are taken for hits, as such keys are (the correction of SHARDS, its section 4).
  struct Count {
    double uses = 0, hits = 0;
  };

  // Requires: a policy that exists, pool_bytes > 0, samples in bounds.
  explicit SizeCurve(const SizeCurveOptions& options);
  ~SizeCurve();

  // Somebody asked for this key. Returns: looks_at(): then use() follows. Cheap: all else is only
  // for these.
  bool asked(uint64_t key_hash);
  void use(const BlockUse& use);
  // Whether a key with this hash is one of those that are looked at now.
  bool looks_at(uint64_t key_hash) const;
  // Its client removed it: no pool would have it.
  void forget(uint64_t key_hash);

  // model: 0..kSizeModels-1, in the order of kSizeSteps. The last is {} without a tier below.
  Count count(uint32_t model) const;
  // One key in so many is looked at.
  uint64_t one_in() const;

  // All that it ever allocates, roughly: bytes.
  static uint64_t memory_bytes(const SizeCurveOptions& options);

 private:
  class Model;
  void halve();
  void thin();
  void sweep();

  std::vector<std::unique_ptr<Model>> models_;
  uint32_t shift_ = 0;   // log2 of one_in()
  double expected_ = 0;  // uses, by what was asked and how rare they are
  uint64_t half_life_;
  size_t swept_ = 0;   // models of which all is gone that is not looked at any more
  uint32_t next_ = 0;  // the block of models_[swept_] that is swept next
};

}  // namespace speckv::predict
