// SPDX-License-Identifier: Apache-2.0
// reserved_table.hpp - a table of fixed length whose address space is taken at start, and whose
// memory comes page by page as it is used.
//
// Used by slab_pool, whose tables would take 3 % of the pool if every slab were cut into the
// smallest slots, and take far less in fact. Zero until written. Never grows, never allocates.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <utility>

namespace speckv {

template <typename T>
class ReservedTable {
 public:
  explicit ReservedTable(uint64_t length) : bytes_(length * sizeof(T)) {
    if (bytes_ == 0) return;
    void* base = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();  // a limit of the process: at start only
    table_ = static_cast<T*>(base);
  }
  ReservedTable(ReservedTable&& other) noexcept
      : table_(std::exchange(other.table_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  ReservedTable& operator=(ReservedTable&&) = delete;
  ~ReservedTable() {
    if (table_) munmap(table_, bytes_);
  }
  T* at(uint64_t index) { return table_ + index; }
  const T* at(uint64_t index) const { return table_ + index; }

 private:
  T* table_ = nullptr;
  uint64_t bytes_;
};

}  // namespace speckv
