// SPDX-License-Identifier: Apache-2.0
// readers.cpp - see readers.hpp.
#include "pool/readers.hpp"

#include <algorithm>
#include <cstring>

#include "assert.hpp"

namespace speckv {

namespace {

constexpr uint64_t list_at = 4096;  // PoolHeader ends before it
static_assert(sizeof(shm::PoolHeader) <= list_at);

// A reader is one number: what it is, and its id.
enum Kind : uint64_t { user = 1, group = 2, anyone_at_all = 3 };
constexpr uint64_t reader_of(Kind kind, uint32_t id) { return uint64_t(kind) << 32 | id; }

struct ListHead {
  uint64_t count;
  uint64_t check;  // over count and the readers: a list that is torn is none
};
static_assert(list_at + sizeof(ListHead) + 8 * readers_max == readers_end_bytes);

uint64_t check_of(std::span<const uint64_t> readers) {
  uint64_t sum = mix64(readers.size() + 1);
  for (const uint64_t reader : readers) sum = mix64(sum ^ reader);
  return sum;
}

}  // namespace

Readers::Readers(bool anyone, std::span<const uint32_t> uids, std::span<const uint32_t> gids) {
  if (anyone) all_.push_back(reader_of(anyone_at_all, 0));
  for (const uint32_t id : uids) all_.push_back(reader_of(user, id));
  for (const uint32_t id : gids) all_.push_back(reader_of(group, id));
  std::sort(all_.begin(), all_.end());
  all_.erase(std::unique(all_.begin(), all_.end()), all_.end());
  SPECKV_ASSERT(all_.size() <= readers_max, "a namespace has more readers than its pool can name");
}

void Readers::write(std::byte* pool) const {
  const ListHead head{all_.size(), check_of(all_)};
  std::memcpy(pool + list_at, &head, sizeof head);
  if (!all_.empty())
    std::memcpy(pool + list_at + sizeof head, all_.data(), all_.size() * sizeof(uint64_t));
}

bool Readers::read(std::span<const std::byte> pool_head) {
  all_.clear();
  ListHead head{};
  if (pool_head.size() < list_at + sizeof head) return false;
  std::memcpy(&head, pool_head.data() + list_at, sizeof head);
  const uint64_t bytes = head.count * sizeof(uint64_t);
  if (head.count > readers_max || list_at + sizeof head + bytes > pool_head.size()) return false;
  all_.resize(head.count);
  if (bytes) std::memcpy(all_.data(), pool_head.data() + list_at + sizeof head, bytes);
  return head.check == check_of(all_);
}

bool Readers::has(uint64_t reader) const {
  return std::binary_search(all_.begin(), all_.end(), reader);
}

std::string Readers::who_is_missing_in(const Readers& now) const {
  if (now.has(reader_of(anyone_at_all, 0))) return "";
  for (const uint64_t reader : all_) {
    if (now.has(reader)) continue;
    const std::string id = std::to_string(uint32_t(reader));
    return reader >> 32 == user ? "user " + id : reader >> 32 == group ? "group " + id : "anyone";
  }
  return "";
}

}  // namespace speckv
