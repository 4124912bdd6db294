// SPDX-License-Identifier: Apache-2.0
// huge_vector.hpp - makes a large table in memory of its own on huge pages.
//
// For tables of tens of megabytes that are looked up at random: with pages of 4 KiB most lookups
// miss the TLB as well as the cache. Called once, when the table is made. It is a wish: where the
// kernel gives none, the table is as good, and slower.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <vector>

namespace speckv {

// Returns: n times `value`.
template <class T>
std::vector<T> make_huge_vector(size_t n, const T& value) {
  constexpr uintptr_t page_bytes = 4096;
  std::vector<T> table;
  table.reserve(n);
  const auto begin = (reinterpret_cast<uintptr_t>(table.data()) + page_bytes - 1) / page_bytes;
  const auto end = (reinterpret_cast<uintptr_t>(table.data()) + n * sizeof(T)) / page_bytes;
  if (begin < end)
    (void)madvise(reinterpret_cast<void*>(begin * page_bytes), (end - begin) * page_bytes,
                  MADV_HUGEPAGE);
  table.assign(n, value);
  return table;
}

}  // namespace speckv
