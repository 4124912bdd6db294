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

constexpr size_t run_keys_max = 32;  // of one read call: bounds its scratch

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
  while (rest.begin < rest.end) {
    const Shape* shape = shape_for(part.batch->memory[rest.begin].bytes);
    rest.begin = shape ? read_run(*shape, rest) : rest.begin + 1;
  }
}

// Reads the objects of one shape that part begins with. Returns: where the next run begins.
size_t Objects::read_run(const Shape& shape, const Part& part) {
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
  if (speckv_get(session_, shape.number(), ops.data(), unsigned(ops.size())) <= 0) return end;
  for (size_t i = 0; i < ops.size(); i++) {
    const Batch::Memory& memory = batch.memory[part.begin + i];
    batch.good[part.begin + i] =
        ops[i].ret_result == 0 && placing.finish(i, memory.data, memory.bytes);
  }
  return end;
}

// Which of these places of a batch are there under one shape.
Objects::Places Objects::found(size_t shape, const Batch& batch, const Places& places,
                               int* ret_error) const {
  std::vector<ObjectKey> keys;
  std::vector<uint8_t> hits(places.size());
  for (const size_t place : places) keys.push_back(batch.keys[place]);
  *ret_error = 0;
  Places hit;
  for (size_t at = 0; at < keys.size() && *ret_error == 0; at += SPECKV_BATCH_MAX) {
    const auto count = unsigned(std::min<size_t>(keys.size() - at, SPECKV_BATCH_MAX));
    const auto* first = reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(keys[at].data());
    const int leading =
        speckv_exists(session_, shapes_[shape].number(), first, count, hits.data() + at);
    if (leading < 0) *ret_error = leading;
  }
  if (*ret_error) return {};
  for (size_t i = 0; i < places.size(); i++)
    if (hits[i]) hit.push_back(places[i]);
  return hit;
}

void Objects::look(Batch& batch) {
  Places left(batch.keys.size());
  std::iota(left.begin(), left.end(), size_t{0});
  for (const size_t shape : likely_first()) {
    int error = 0;
    const Places hit = found(shape, batch, left, &error);
    if (error) batch.error = sentence("speckv_exists", error);
    if (error) return;
    if (hit.empty()) continue;
    used_[shape].fetch_add(hit.size(), std::memory_order_relaxed);
    std::vector<ObjectKey> keys;
    for (const size_t place : hit) {
      batch.good[place] = 1;
      keys.push_back(batch.keys[place]);
    }
    // its load comes next: no eviction before that
    const auto* first = reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(keys[0].data());
    const auto count = unsigned(std::min<size_t>(keys.size(), SPECKV_BATCH_MAX));
    static_cast<void>(speckv_prefetch(session_, shapes_[shape].number(), first, count));
    std::erase_if(left, [&](size_t place) { return batch.good[place]; });
    if (left.empty()) return;
  }
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

// Stores the objects of one shape from begin on. Returns: where the next run begins.
size_t Objects::put_run(const Shape& shape, Batch& batch, size_t begin) {
  const size_t end = run_end(begin, batch.keys.size(), [&](size_t i) {
    return i == begin || shape_for(batch.memory[i].bytes) == &shape;
  });
  Placing placing(shape, end - begin);
  std::vector<speckv_put_op> ops(end - begin);
  for (size_t i = 0; i < ops.size(); i++) {
    const Batch::Memory& memory = batch.memory[begin + i];
    std::memcpy(ops[i].key, batch.keys[begin + i].data(), sizeof ops[i].key);
    placing.fill(i, memory.data, memory.bytes);
    ops[i].buf = placing.place(i, memory.data, memory.bytes);
    ops[i].meta.position = SPECKV_POSITION_UNKNOWN;
  }
  Storing storing(session_, shape.number(), ops.data(), ops.size());
  const int ended = storing.run(now_ns() + timeout_ns_, &stop_);
  for (size_t i = 0; i < ops.size(); i++) {
    const int result = ended && ops[i].ret_result == -EAGAIN ? ended : ops[i].ret_result;
    batch.good[begin + i] = result == 0;
    if (result != 0 && batch.error.empty()) batch.error = sentence("speckv_put", result);
  }
  return end;
}

// A name may be there under several shapes, by objects of several lengths: all go.
void Objects::remove(Batch& batch) {
  Places all(batch.keys.size());
  std::iota(all.begin(), all.end(), size_t{0});
  const uint64_t until_ns = now_ns() + timeout_ns_;
  for (size_t shape = 0; shape < shapes_.size() && !stop_; shape++) {
    int error = 0;
    const Places hit = found(shape, batch, all, &error);
    std::vector<ObjectKey> keys;
    for (const size_t place : hit) keys.push_back(batch.keys[place]);
    if (!error && !keys.empty()) {
      const auto* first = reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(keys[0].data());
      Removing removing(session_, shapes_[shape].number(), first, keys.size());
      error = removing.run(until_ns, &stop_);
      for (size_t i = 0; i < hit.size(); i++) batch.good[hit[i]] |= removing.gone(i) ? 1 : 0;
    }
    if (error) batch.error = sentence("speckv_remove", error);
    if (error) return;
  }
}

}  // namespace speckv::python
