// SPDX-License-Identifier: Apache-2.0
// memory.hpp - the bench's buffers, the copies it compares with, and what the machine is.
//
// Who calls it: the suites of tests/bench. Failing to map memory ends the bench with a sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace speckv::bench {

// Anonymous memory, touched in full, in 2 MiB pages where the kernel gives them.
class Buffer {
 public:
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* at(size_t offset) const { return base_ + offset; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  size_t bytes_;
};

// Bytes of the last-level cache; 32 MiB where the kernel does not say.
size_t l3_bytes();

// The other memcpy: streaming stores, past the caches. Requires: to is 16-byte aligned.
void stream_copy(void* to, const void* from, size_t n);

// K-like in its first half (channels with their own offset), V-like in its second, as fp16. What
// comes out is the same for the same seed. n is in bytes, head_dim in values.
void fill_kv(std::byte* to, size_t n, uint32_t head_dim, uint64_t seed);

// "AMD EPYC ..., 2 CPUs, L3 32 MiB"
std::string machine_text();
// What share of the mapping that holds `address` is in huge pages: "2 MiB pages", "4 KiB pages".
std::string page_size_text(const void* address);

}  // namespace speckv::bench
