// SPDX-License-Identifier: Apache-2.0
// due_heap.hpp - who is due next: numbers with a moment each, the earliest first.
//
// Who uses it: speculator.cpp, for sessions that told when they will speak again. A number is in it
// once at most; where it stands, its owner keeps (place_of), so that a moment can be changed.
// Nothing is allocated after construction; every call is O(log n).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace speckv::predict {

class DueHeap {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Due {
    uint64_t at_ns = 0;
    uint32_t number = kNone;
  };

  explicit DueHeap(uint32_t numbers) { heap_.reserve(numbers); }

  bool empty() const { return heap_.empty(); }
  const Due& first() const { return heap_.front(); }
  uint64_t bytes() const { return heap_.capacity() * sizeof(Due); }

  // place_of(number): a reference to where that number keeps its place; kNone: it is not in here.
  template <typename PlaceOf>
  void set(uint32_t number, uint64_t at_ns, PlaceOf&& place_of) {
    uint32_t at = place_of(number);
    if (at == kNone) {
      at = uint32_t(heap_.size());
      heap_.push_back({at_ns, number});
      place_of(number) = at;
    }
    heap_[at].at_ns = at_ns;
    settle(at, place_of);
  }
  template <typename PlaceOf>
  void remove(uint32_t number, PlaceOf&& place_of) {
    const uint32_t at = place_of(number);
    if (at == kNone) return;
    swap(at, uint32_t(heap_.size()) - 1, place_of);
    place_of(number) = kNone;
    heap_.pop_back();
    if (at < heap_.size()) settle(at, place_of);
  }

 private:
  template <typename PlaceOf>
  void swap(uint32_t a, uint32_t b, PlaceOf& place_of) {
    std::swap(heap_[a], heap_[b]);
    place_of(heap_[a].number) = a;
    place_of(heap_[b].number) = b;
  }
  template <typename PlaceOf>
  void settle(uint32_t at, PlaceOf& place_of) {
    for (; at > 0 && heap_[at].at_ns < heap_[(at - 1) / 2].at_ns; at = (at - 1) / 2)
      swap(at, (at - 1) / 2, place_of);
    for (;;) {
      uint32_t least = at;
      for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap_.size(); ++child)
        if (heap_[child].at_ns < heap_[least].at_ns) least = child;
      if (least == at) return;
      swap(at, least, place_of);
      at = least;
    }
  }

  std::vector<Due> heap_;
};

}  // namespace speckv::predict
