// SPDX-License-Identifier: Apache-2.0
// size_curve.cpp - see size_curve.hpp.
#include "predict/size_curve.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

namespace speckv::predict {

namespace {

// A model of more than this times the samples looks at fewer keys than the others.
constexpr double kStepMax = 8;
constexpr uint32_t kGhosts = 8192;  // for a policy that remembers keys: four pools' worth of them
constexpr uint32_t kSweepBlocks = 64;  // in one call: 5 us
// Of a policy, its ghosts and a model's own tables, for each block.
constexpr uint64_t kBytesPerBlock = 208;

// Independent of the hash bits that choose a shard, a bucket or a ghost's place.
uint64_t mixed(uint64_t hash) {
  hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ull;
  hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ull;
  return hash ^ (hash >> 32);
}

bool is_sampled(uint64_t hash, uint32_t shift) {
  return (mixed(hash) & ((uint64_t{1} << shift) - 1)) == 0;
}

struct Shape {
  double step;     // its bytes in the pool's
  uint32_t extra;  // log2: so much rarer than the others it looks at a key
  uint32_t blocks;
};

Shape shape_of(double step, uint32_t samples) {
  Shape shape{step, 0, 0};
  while (step / double(1u << shape.extra) > kStepMax) shape.extra++;
  shape.blocks = uint32_t(std::ceil(double(samples) * step / double(1u << shape.extra)));
  return shape;
}

std::vector<Shape> shapes_of(const SizeCurveOptions& options) {
  std::vector<Shape> shapes;
  for (double step : kSizeSteps) shapes.push_back(shape_of(step, options.samples));
  if (options.bytes_below)
    shapes.push_back(
        shape_of(double(options.pool_bytes + options.bytes_below) / double(options.pool_bytes),
                 options.samples));
  return shapes;
}

}  // namespace

// One pool without bytes: who is in it, found by the hash of its key.
class SizeCurve::Model {
 public:
  Model(std::string_view policy, const Shape& shape, uint64_t pool_bytes)
      : policy_(make_policy(policy, shape.blocks, kGhosts)),
        blocks_(shape.blocks),
        places_(std::bit_ceil(uint64_t{2} * shape.blocks), kNoBlock),
        bytes_max_(double(pool_bytes) * shape.step),
        extra_(shape.extra) {
    free_.reserve(shape.blocks);
    for (uint32_t block = shape.blocks; block-- > 0;) free_.push_back(block);
    set_shift(0);
    set_budget();
  }

  // It looks at fewer keys from now on; its bytes become fewer when the others have been swept.
  void set_shift(uint32_t shift) { shift_ = shift + extra_; }
  void set_budget() { budget_ = uint64_t(bytes_max_ / double(uint64_t{1} << shift_)); }
  bool is_counted(uint64_t hash) const { return is_sampled(hash, shift_); }
  bool is_full() const { return free_.empty(); }
  // expected: uses that all keys' asking lets expect.
  Count count(double expected) const {
    const double uses = expected / double(1u << extra_);
    return {uses, std::clamp(count_.hits + uses - count_.uses, 0.0, uses)};
  }
  void halve() { count_ = {count_.uses / 2, count_.hits / 2}; }

  void use(const BlockUse& use) {
    if (!is_counted(use.key_hash)) return;
    count_.uses++;
    const uint32_t known = find(use.key_hash);
    if (known != kNoBlock) {
      blocks_[known].leads = ancestor_leads(use);
      count_.hits += blocks_[known].leads ? 1 : 0;
      policy_->on_hit(known, use.now_ns);
      return;
    }
    if (use.stored_bytes > budget_) return;
    while (bytes_ + use.stored_bytes > budget_ || free_.empty())
      if (!evict(use.now_ns)) return;
    insert(use);
  }

  void forget(uint64_t hash) {
    const uint32_t known = find(hash);
    if (known != kNoBlock) drop(known);
  }
  // Forgets those of blocks [first, end) that are not looked at any more. Returns: false after the
  // last.
  bool sweep(uint32_t first, uint32_t end) {
    const auto last = uint32_t(std::min<size_t>(end, blocks_.size()));
    for (uint32_t block = first; block < last; block++)
      if (blocks_[block].used && !is_counted(blocks_[block].key_hash)) drop(block);
    return last < blocks_.size();
  }

 private:
  struct Known {
    uint64_t key_hash = 0;
    uint32_t bytes = 0;
    bool used = false;
    bool leads = false;  // when it was asked last, it and all before it were there
  };

  // The rarest looker may not look at the ancestor that the others do.
  bool knows_ancestor(const BlockUse& use) const {
    return use.ancestor != 0 && is_counted(use.ancestor);
  }
  // A block is of use where all before it in its sequence are there.
  bool ancestor_leads(const BlockUse& use) const {
    if (!knows_ancestor(use)) return true;
    const uint32_t ancestor = find(use.ancestor);
    return ancestor != kNoBlock && blocks_[ancestor].leads;
  }

  uint64_t home(uint64_t hash) const { return (mixed(hash) >> 20) & (places_.size() - 1); }
  uint64_t after(uint64_t place) const { return (place + 1) & (places_.size() - 1); }

  uint64_t place_of(uint64_t hash) const {
    uint64_t place = home(hash);
    while (places_[place] != kNoBlock && blocks_[places_[place]].key_hash != hash)
      place = after(place);
    return place;
  }
  uint32_t find(uint64_t hash) const { return places_[place_of(hash)]; }

  void insert(const BlockUse& use) {
    const uint32_t block = free_.back();
    free_.pop_back();
    BlockFacts facts;
    facts.key_hash = use.key_hash;
    facts.now_ns = use.now_ns;
    facts.kind = use.kind;
    facts.position = use.position;
    facts.stored_bytes = use.stored_bytes;
    if (knows_ancestor(use)) {
      const uint32_t ancestor = find(use.ancestor);
      facts.parent = ancestor == kNoBlock ? kParentAway : ancestor;
    }
    blocks_[block] = {use.key_hash, use.stored_bytes, true, false};
    bytes_ += use.stored_bytes;
    places_[place_of(use.key_hash)] = block;
    policy_->on_insert(block, facts);
  }

  bool evict(uint64_t now_ns) {
    uint32_t coldest = kNoBlock;
    if (!policy_->victim(now_ns, {}, &coldest)) return false;
    drop(coldest);
    return true;
  }

  void drop(uint32_t block) {
    policy_->on_remove(block);
    close_gap(place_of(blocks_[block].key_hash));
    bytes_ -= blocks_[block].bytes;
    blocks_[block] = {};
    free_.push_back(block);
  }

  // Linear probing without tombstones: what was pushed on past the gap moves back.
  void close_gap(uint64_t gap) {
    for (uint64_t place = after(gap); places_[place] != kNoBlock; place = after(place)) {
      const uint64_t wanted = home(blocks_[places_[place]].key_hash);
      const uint64_t mask = places_.size() - 1;
      if (((place - wanted) & mask) < ((place - gap) & mask)) continue;
      places_[gap] = places_[place];
      gap = place;
    }
    places_[gap] = kNoBlock;
  }

  std::unique_ptr<EvictionPolicy> policy_;
  std::vector<Known> blocks_;
  std::vector<uint32_t> places_;  // by hash: a block, or kNoBlock
  std::vector<uint32_t> free_;
  double bytes_max_;
  uint32_t extra_, shift_ = 0;
  uint64_t bytes_ = 0, budget_ = 0;
  Count count_;
};

SizeCurve::SizeCurve(const SizeCurveOptions& options) : half_life_(options.half_life) {
  assert(options.pool_bytes > 0 && options.samples > 0 && options.samples <= kSizeSamplesMax);
  for (const Shape& shape : shapes_of(options))
    models_.push_back(std::make_unique<Model>(options.policy, shape, options.pool_bytes));
  swept_ = models_.size();
}
SizeCurve::~SizeCurve() = default;

bool SizeCurve::looks_at(uint64_t key_hash) const { return is_sampled(key_hash, shift_); }

bool SizeCurve::asked(uint64_t key_hash) {
  expected_ += 1 / double(one_in());
  if (half_life_ && expected_ >= double(half_life_)) halve();
  return looks_at(key_hash);
}

void SizeCurve::halve() {
  expected_ /= 2;
  for (const auto& model : models_) model->halve();
}

void SizeCurve::use(const BlockUse& use) {
  sweep();
  for (const auto& model : models_) model->use(use);
  // They look at more keys than they have numbers for before their bytes are full.
  const bool any_full = std::any_of(models_.begin(), models_.end(),
                                    [](const auto& model) { return model->is_full(); });
  if (any_full && swept_ == models_.size()) thin();
}

void SizeCurve::forget(uint64_t key_hash) {
  if (!looks_at(key_hash)) return;
  for (const auto& model : models_) model->forget(key_hash);
}

// From now on half as many keys are looked at; so what was counted weighs half.
void SizeCurve::thin() {
  shift_++;
  halve();
  for (const auto& model : models_) model->set_shift(shift_);
  swept_ = 0;
  next_ = 0;
}

void SizeCurve::sweep() {
  if (swept_ == models_.size()) return;
  if (models_[swept_]->sweep(next_, next_ + kSweepBlocks)) {
    next_ += kSweepBlocks;
    return;
  }
  models_[swept_++]->set_budget();
  next_ = 0;
}

SizeCurve::Count SizeCurve::count(uint32_t model) const {
  return model < models_.size() ? models_[model]->count(expected_) : Count{};
}

uint64_t SizeCurve::one_in() const { return uint64_t{1} << shift_; }

uint64_t SizeCurve::memory_bytes(const SizeCurveOptions& options) {
  uint64_t bytes = 0;
  if (options.samples == 0) return 0;
  for (const Shape& shape : shapes_of(options))
    bytes += shape.blocks * kBytesPerBlock + uint64_t{kGhosts} * 8;
  return bytes;
}

}  // namespace speckv::predict
