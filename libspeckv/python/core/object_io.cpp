// SPDX-License-Identifier: Apache-2.0
// object_io.cpp - what the threads of Objects do with one batch. See objects.hpp.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "errors.hpp"
#include "objects.hpp"
#include "writing.hpp"

namespace speckv::python {

namespace {

constexpr size_t run_keys_max = 32;           // of one read call: bounds its scratch
constexpr uint64_t quiet_ns = 1'000'000'000;  // after the daemon did not say where objects are

using Key = uint8_t[SPECKV_KEY_BYTES];
const Key* raw(const std::vector<ObjectKey>& keys) {
  return reinterpret_cast<const Key*>(keys.data());
}

// The part of the loop that a key's failure does not end. Returns: the end of the run of objects
// from begin on that lie in this shape.
template <typename Same>
size_t run_end(size_t begin, size_t end, Same same) {
  size_t i = begin;
  while (i < end && i - begin < run_keys_max && same(i)) i++;
  return i;
}

std::string sentence(const char* what, int error) {
  return std::string(what) + ": " + meaning(-error);
}

}  // namespace

// The smallest shape that takes it; counts the use. Null: none does.
const Shape* Objects::shape_for(size_t bytes) {
  for (size_t i = 0; i < shapes_.size(); i++)
    if (shapes_[i].takes(bytes)) {
      used_[i].fetch_add(1, std::memory_order_relaxed);
      return &shapes_[i];
    }
  return nullptr;
}

// Shapes by use: a look that asks the common one first rarely asks another.
std::vector<size_t> Objects::likely_first() const {
  std::vector<size_t> order(shapes_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<uint64_t> used(used_.begin(), used_.end());
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return used[a] > used[b]; });
  return order;
}

void Objects::read(const Part& part) {
  Part rest = part;
  uint64_t wait_left_ns = wait_ns_;
  while (rest.begin < rest.end) {
    const Shape* shape = shape_for(part.batch->memory[rest.begin].bytes);
    rest.begin = shape ? read_run(*shape, rest, &wait_left_ns) : rest.begin + 1;
  }
}

// Reads the objects of one shape that part begins with. Returns: where the next run begins.
size_t Objects::read_run(const Shape& shape, const Part& part, uint64_t* wait_left_ns) {
  Batch& batch = *part.batch;
  const size_t end = run_end(part.begin, part.end, [&](size_t i) {
    return i == part.begin || shape_for(batch.memory[i].bytes) == &shape;
  });
  Placing placing(shape, end - part.begin);
  std::vector<speckv_get_op> ops(end - part.begin);
  for (size_t i = 0; i < ops.size(); i++) {
    const Batch::Memory& memory = batch.memory[part.begin + i];
    std::memcpy(ops[i].key, batch.keys[part.begin + i].data(), sizeof ops[i].key);
    ops[i].buf = placing.place(i, memory.data, memory.bytes);
  }
  const int hits = speckv_get(session_, shape.number(), ops.data(), unsigned(ops.size()));
  if (hits < 0) return end;
  if (size_t(hits) < ops.size()) load_misses(shape, &ops, wait_left_ns);
  for (size_t i = 0; i < ops.size(); i++) {
    const Batch::Memory& memory = batch.memory[part.begin + i];
    batch.good[part.begin + i] =
        ops[i].ret_result == 0 && placing.finish(i, memory.data, memory.bytes);
  }
  return end;
}

// Reads those that are not in the pool and lie in a tier below. wait_left_ns: loses what it waits.
void Objects::load_misses(const Shape& shape, std::vector<speckv_get_op>* ops,
                          uint64_t* wait_left_ns) {
  if (*wait_left_ns == 0) return;
  Places misses;
  std::vector<ObjectKey> keys;
  for (size_t i = 0; i < ops->size(); i++) {
    if ((*ops)[i].ret_result != -ENOENT) continue;
    misses.push_back(i);
    std::memcpy(keys.emplace_back().data(), (*ops)[i].key, SPECKV_KEY_BYTES);
  }
  if (misses.empty()) return;
  const uint64_t begun_ns = now_ns(), until_ns = begun_ns + *wait_left_ns;
  std::vector<int32_t> tiers(misses.size());
  speckv_locate(session_, shape.number(), raw(keys), unsigned(keys.size()), *wait_left_ns,
                tiers.data());
  Places there;
  std::vector<speckv_get_op> loads;  // of what is nowhere, the first would end the call
  for (size_t i = 0; i < misses.size(); i++)
    if (tiers[i] >= 0) {
      there.push_back(misses[i]);
      loads.push_back((*ops)[misses[i]]);
    }
  if (!loads.empty())
    speckv_load(session_, shape.number(), loads.data(), unsigned(loads.size()), until_ns);
  for (size_t i = 0; i < there.size(); i++) (*ops)[there[i]].ret_result = loads[i].ret_result;
  *wait_left_ns -= std::min(*wait_left_ns, now_ns() - begun_ns);
}

// Which of these places of a batch are in the pool under one shape.
Objects::Places Objects::found(size_t shape, const Batch& batch, const Places& places,
                               int* ret_error) const {
  std::vector<ObjectKey> keys;
  std::vector<uint8_t> hits(places.size());
  for (const size_t place : places) keys.push_back(batch.keys[place]);
  *ret_error = 0;
  Places hit;
  for (size_t at = 0; at < keys.size() && *ret_error == 0; at += SPECKV_BATCH_MAX) {
    const auto count = unsigned(std::min<size_t>(keys.size() - at, SPECKV_BATCH_MAX));
    const int leading =
        speckv_exists(session_, shapes_[shape].number(), raw(keys) + at, count, hits.data() + at);
    if (leading < 0) *ret_error = leading;
  }
  if (*ret_error) return {};
  for (size_t i = 0; i < places.size(); i++)
    if (hits[i]) hit.push_back(places[i]);
  return hit;
}

// Where these places of a batch are, as speckv_locate() says; what is not said in time is not
// known, and then the daemon is not asked for a while.
std::vector<int32_t> Objects::tiers_of(const Shape& shape, const Batch& batch, const Places& places,
                                       uint64_t until_ns) {
  std::vector<ObjectKey> keys;
  std::vector<int32_t> tiers(places.size(), -ENOENT);
  for (const size_t place : places) keys.push_back(batch.keys[place]);
  if (now_ns() < quiet_until_ns_) until_ns = 0;
  for (size_t at = 0; at < keys.size(); at += SPECKV_BATCH_MAX) {
    const auto count = unsigned(std::min<size_t>(keys.size() - at, SPECKV_BATCH_MAX));
    const uint64_t now = now_ns();
    speckv_locate(session_, shape.number(), raw(keys) + at, count,
                  until_ns > now ? until_ns - now : 0, tiers.data() + at);
  }
  const bool silent = std::find(tiers.begin(), tiers.end(), -ETIMEDOUT) != tiers.end();
  if (silent && until_ns != 0) quiet_until_ns_ = now_ns() + quiet_ns;
  return tiers;
}

// In the pool first, under all shapes. Below, the daemon is asked once a shape: about those that
// were met since the start, or about all while none was.
void Objects::look(Batch& batch) {
  Places left(batch.keys.size());
  std::iota(left.begin(), left.end(), size_t{0});
  const std::vector<size_t> shapes = likely_first();
  for (const size_t shape : shapes) {
    int error = 0;
    const Places hit = found(shape, batch, left, &error);
    if (error) batch.error = sentence("speckv_exists", error);
    if (error) return;
    look_at(shape, hit, batch, &left);
    if (left.empty()) return;
  }
  const uint64_t until_ns = now_ns() + wait_ns_;
  const bool any_met = used_[shapes.front()] != 0;
  for (const size_t shape : shapes) {
    if (left.empty() || wait_ns_ == 0 || (any_met && used_[shape] == 0)) return;
    const std::vector<int32_t> tiers = tiers_of(shapes_[shape], batch, left, until_ns);
    Places hit;
    for (size_t i = 0; i < left.size(); i++)
      if (tiers[i] >= 0) hit.push_back(left[i]);
    look_at(shape, hit, batch, &left);
  }
}

// Those that were found under a shape. Their load comes next: no eviction before that, and what
// lies below comes up.
void Objects::look_at(size_t shape, const Places& hit, Batch& batch, Places* left) {
  if (hit.empty()) return;
  used_[shape].fetch_add(hit.size(), std::memory_order_relaxed);
  std::vector<ObjectKey> keys;
  for (const size_t place : hit) {
    batch.good[place] = 1;
    keys.push_back(batch.keys[place]);
  }
  const auto count = unsigned(std::min<size_t>(keys.size(), SPECKV_BATCH_MAX));
  static_cast<void>(speckv_prefetch(session_, shapes_[shape].number(), raw(keys), count));
  std::erase_if(*left, [&](size_t place) { return batch.good[place]; });
}

void Objects::put(Batch& batch) {
  for (size_t i = 0; i < batch.keys.size() && !stop_;) {
    const size_t bytes = batch.memory[i].bytes;
    const Shape* shape = shape_for(bytes);
    if (!shape && batch.error.empty())
      batch.error = "an object of " + std::to_string(bytes) + " bytes; expected " +
                    (shapes_.size() == 1 ? "" : "at most ") +
                    std::to_string(shapes_.back().most_bytes());
    i = shape ? put_run(*shape, batch, i) : i + 1;
  }
}

// Stores the objects of one shape from begin on, but for those that some tier has: a put of what
// lies below would store it anew. Returns: where the next run begins.
size_t Objects::put_run(const Shape& shape, Batch& batch, size_t begin) {
  const size_t end = run_end(begin, batch.keys.size(), [&](size_t i) {
    return i == begin || shape_for(batch.memory[i].bytes) == &shape;
  });
  Places places(end - begin);
  std::iota(places.begin(), places.end(), begin);
  const std::vector<int32_t> tiers =
      tiers_of(shape, batch, places, wait_ns_ ? now_ns() + wait_ns_ : 0);
  for (size_t i = begin; i < end; i++) batch.good[i] = tiers[i - begin] >= 0;
  std::erase_if(places, [&](size_t place) { return batch.good[place]; });
  Placing placing(shape, places.size());
  std::vector<speckv_put_op> ops(places.size());
  for (size_t i = 0; i < ops.size(); i++) {
    const Batch::Memory& memory = batch.memory[places[i]];
    std::memcpy(ops[i].key, batch.keys[places[i]].data(), sizeof ops[i].key);
    placing.fill(i, memory.data, memory.bytes);
    ops[i].buf = placing.place(i, memory.data, memory.bytes);
    ops[i].meta.position = SPECKV_POSITION_UNKNOWN;
  }
  Storing storing(session_, shape.number(), ops.data(), ops.size());
  const int ended = storing.run(now_ns() + timeout_ns_, &stop_);
  for (size_t i = 0; i < ops.size(); i++) {
    const int result = ended && ops[i].ret_result == -EAGAIN ? ended : ops[i].ret_result;
    batch.good[places[i]] = result == 0;
    if (result != 0 && batch.error.empty()) batch.error = sentence("speckv_put", result);
  }
  return end;
}

// A name may be there under several shapes, by objects of several lengths: all go, in each tier.
void Objects::remove(Batch& batch) {
  Places all(batch.keys.size());
  std::iota(all.begin(), all.end(), size_t{0});
  const uint64_t until_ns = now_ns() + timeout_ns_;
  for (size_t shape = 0; shape < shapes_.size() && !stop_; shape++) {
    int error = 0;
    const std::vector<int32_t> tiers = tiers_of(shapes_[shape], batch, all, until_ns);
    Places hit;
    std::vector<ObjectKey> keys;
    for (size_t i = 0; i < all.size(); i++) {
      if (tiers[i] == -ENOENT) continue;
      hit.push_back(i);
      keys.push_back(batch.keys[i]);
    }
    if (!keys.empty()) {
      Removing removing(session_, shapes_[shape].number(), raw(keys), keys.size());
      error = removing.run(until_ns, &stop_);
      for (size_t i = 0; i < hit.size(); i++) batch.good[hit[i]] |= removing.gone(i) ? 1 : 0;
    }
    if (error) batch.error = sentence("speckv_remove", error);
    if (error) return;
  }
}

}  // namespace speckv::python
