// SPDX-License-Identifier: Apache-2.0
#include "src/maps.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "shm/pool_format.hpp"

#ifndef MADV_POPULATE_READ  // Linux 5.14; older headers
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace speckv::lib {
namespace {

constexpr uint64_t huge_bytes = 2u << 20;

// Without populate advice: touches each page. Reads only, so a hole that the daemon left stays its
// own.
void touch_pages(const std::byte* from, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += 4096)
    static_cast<void>(*reinterpret_cast<const volatile std::byte*>(from + at));
}

// Returns: how many bytes, up to most, were populated.
uint64_t populate_some(Map& map, int advice, uint64_t most) {
  const uint64_t left = map.bytes - map.populated, some = left < most ? left : most;
  std::byte* from = map.base + map.populated;
  if (some && madvise(from, some, advice) != 0) touch_pages(from, some);
  map.populated += some;
  return some;
}

// Maps at a 2 MiB boundary, so that huge pages of the file can be mapped as such.
int map_file(int fd, uint64_t offset, uint64_t bytes, int protection, Map* ret_map) {
  const uint64_t span = bytes + huge_bytes;
  void* reserved =
      mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return -errno;
  const auto start = reinterpret_cast<uintptr_t>(reserved);
  const uintptr_t aligned = (start + huge_bytes - 1) / huge_bytes * huge_bytes;
  void* map = mmap(reinterpret_cast<void*>(aligned), bytes, protection, MAP_SHARED | MAP_FIXED, fd,
                   off_t(offset));
  if (map == MAP_FAILED) {
    const int error = errno;
    munmap(reserved, span);
    return -error;
  }
  const uint64_t whole =
      (bytes + huge_bytes - 1) / huge_bytes * huge_bytes;  // hugetlb rounds the map up
  if (aligned > start) munmap(reserved, aligned - start);
  if (start + span > aligned + whole)
    munmap(reinterpret_cast<void*>(aligned + whole), start + span - aligned - whole);
  *ret_map = {static_cast<std::byte*>(map), bytes, 0};
  madvise(map, bytes, MADV_DONTFORK);
  madvise(map, bytes, MADV_HUGEPAGE);
  return 0;
}

// A regular file shorter than its map would kill the reader with SIGBUS; a device says so when it
// is mapped.
int check_file(int fd, uint64_t offset, uint64_t bytes, bool device_allowed) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (device_allowed && S_ISCHR(status.st_mode)) return 0;
  const auto size = uint64_t(status.st_size);
  if (!S_ISREG(status.st_mode) || offset > size || bytes > size - offset) return -EPROTO;
  return 0;
}

int check_session(const Connection& connection) {
  const shm::SessionHeader& header = connection.session_header();
  const uint64_t arena_offset = shm::session_arena_offset(connection.shards);
  if (header.magic != shm::session_magic || header.shards != connection.shards) return -EPROTO;
  if (header.arena_offset != arena_offset || header.arena_bytes < shm::arena_chunk_bytes)
    return -EPROTO;
  if (header.arena_bytes > connection.session.bytes - arena_offset) return -EPROTO;
  if (header.arena_bytes / shm::arena_chunk_bytes > arena_chunks_max) return -EPROTO;
  return 0;
}

int check_pool(const Connection& connection, const Map& map, uint64_t magic) {
  const auto& header = *reinterpret_cast<const shm::PoolHeader*>(map.base);
  if (header.magic != magic || header.version != shm::pool_version) return -EPROTO;
  if (header.shards != connection.shards) return -EPROTO;
  return 0;
}

int check_index(const Connection& connection) {
  const shm::IndexHeader& header = connection.index_header();
  if (header.magic != shm::index_magic || header.version != shm::index_version) return -EPROTO;
  if (header.shards != connection.shards || header.buckets == 0) return -EPROTO;
  const uint64_t needed = shm::index_file_bytes(header.shards, header.buckets);
  return needed > connection.index.bytes ? -EPROTO : 0;
}

int map_all(Connection& connection, const wire::Welcome& welcome, const int* fds) {
  const int both = PROT_READ | PROT_WRITE;
  int result = check_file(fds[wire::fd_session], 0, welcome.session_bytes, false);
  if (result == 0)
    result = check_file(fds[wire::fd_pool], welcome.pool_offset, welcome.pool_bytes, true);
  if (result == 0) result = check_file(fds[wire::fd_index], 0, welcome.index_bytes, false);
  if (result == 0)
    result = map_file(fds[wire::fd_session], 0, welcome.session_bytes, both, &connection.session);
  if (result == 0) result = check_session(connection);
  if (result == 0)
    result = map_file(fds[wire::fd_pool], welcome.pool_offset, welcome.pool_bytes, PROT_READ,
                      &connection.pool);
  if (result == 0) result = check_pool(connection, connection.pool, shm::pool_magic);
  if (result == 0)
    result = map_file(fds[wire::fd_index], 0, welcome.index_bytes, PROT_READ, &connection.index);
  if (result == 0) result = check_index(connection);
  return result;
}

int map_near(Connection& connection, uint64_t bytes, int fd) {
  int result = check_file(fd, 0, bytes, false);
  if (result == 0) result = map_file(fd, 0, bytes, PROT_READ, &connection.near);
  if (result == 0) result = check_pool(connection, connection.near, shm::near_magic);
  return result;
}

}  // namespace

void close_fd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

void unmap(Map& map) {
  if (map.base) munmap(map.base, map.bytes);
  map = {};
}

void close_descriptors(Connection& connection) {
  close_fd(connection.socket);
  close_fd(connection.event);
  for (uint32_t shard = 0; shard < connection.shards; shard++)
    close_fd(connection.doorbells[shard]);
  connection.shards = 0;
}

bool populate(Connection& connection, uint64_t most) {
  most -= populate_some(connection.session, MADV_POPULATE_WRITE, most);
  most -= populate_some(connection.index, MADV_POPULATE_READ, most);
  most -= populate_some(connection.pool, MADV_POPULATE_READ, most);
  most -= populate_some(connection.near, MADV_POPULATE_READ, most);
  return most != 0;
}

int map_connection(Connection& connection, const wire::Welcome& welcome, const int* fds) {
  connection.shards = welcome.shards;
  connection.hold_ns_max = welcome.hold_ns_max;
  connection.pool_page_bytes = welcome.pool_page_bytes;
  connection.throttle.set(welcome.emulated_ps_per_byte, welcome.emulated_ns);
  connection.event = fds[wire::fd_event];
  for (uint32_t i = 0; i < welcome.shards; i++)
    connection.doorbells[i] = fds[wire::fd_doorbell + i];
  int result = 0;
  if (welcome.session_bytes < shm::session_arena_offset(welcome.shards) + shm::arena_chunk_bytes ||
      welcome.pool_bytes < shm::unit_bytes || welcome.pool_offset % huge_bytes ||
      welcome.index_bytes < shm::index_header_bytes ||
      (welcome.near_bytes && welcome.near_bytes < shm::unit_bytes))
    result = -EPROTO;
  if (result == 0) result = map_all(connection, welcome, fds);
  const int near_fd = welcome.near_bytes ? fds[wire::fd_doorbell + welcome.shards] : -1;
  if (result == 0 && near_fd >= 0) result = map_near(connection, welcome.near_bytes, near_fd);
  if (near_fd >= 0) close(near_fd);
  for (int i : {wire::fd_session, wire::fd_pool, wire::fd_index}) close(fds[i]);
  if (result == 0) {
    const uint64_t chunks = connection.session_header().arena_bytes / shm::arena_chunk_bytes;
    result = connection.arena.reset(uint32_t(chunks));
  }
  if (result != 0) return result;
  for (uint32_t shard = 0; shard < connection.shards; shard++) {
    connection.views[shard] = shm::IndexView(connection.index.base, shard);
    connection.sq_tail[shard] = shm::load_acquire(connection.area(shard).sq_tail.value);
    connection.cq_head[shard] = shm::load_acquire(connection.area(shard).cq_head.value);
    connection.sq_reserved[shard] = connection.under_way[shard] = 0;
  }
  connection.under_way_total = 0;
  const int flags = fcntl(connection.event, F_GETFL);
  if (flags >= 0 && !(flags & O_NONBLOCK)) fcntl(connection.event, F_SETFL, flags | O_NONBLOCK);
  return 0;
}

}  // namespace speckv::lib
