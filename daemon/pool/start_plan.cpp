// SPDX-License-Identifier: Apache-2.0
// start_plan.cpp - see start_plan.hpp.
#include "pool/start_plan.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "pool/mapped_region.hpp"
#include "shm/index.hpp"

namespace speckv {

namespace {

using pool::Fd;

constexpr const char* pool_suffix = ".pool";
constexpr const char* index_suffix = ".index";

struct Found {
  std::string name;  // of the namespace
  uint64_t bytes = 0;
  std::vector<std::byte> head;
  uint64_t blocks = 0;
  bool counted = false;  // blocks could be read
};

// Entries in an index, as its writer may be changing it.
bool count_blocks(const std::string& path, uint64_t* ret_blocks) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!file.valid() || fstat(file.get(), &info) != 0 ||
      info.st_size < off_t(shm::index_header_bytes))
    return false;
  const auto bytes = size_t(info.st_size);
  void* base = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.get(), 0);
  if (base == MAP_FAILED) return false;
  const auto* header = static_cast<const shm::IndexHeader*>(base);
  const bool known = header->magic == shm::index_magic && header->version == shm::index_version &&
                     shm::index_file_bytes(header->shards, header->buckets) == bytes;
  const auto* bucket = reinterpret_cast<const shm::Bucket*>(static_cast<const std::byte*>(base) +
                                                            shm::index_header_bytes);
  *ret_blocks = 0;
  for (uint64_t i = 0; known && i < uint64_t(header->shards) * header->buckets; i++)
    for (uint32_t entry = 0; entry < shm::bucket_entries; entry++)
      *ret_blocks += shm::load_relaxed(bucket[i].head.tags[entry]) != 0;
  munmap(base, bytes);
  return known;
}

std::vector<Found> look(const std::string& path) {
  std::vector<Found> all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.path().extension() != pool_suffix || entry.path().filename().string()[0] == '.')
      continue;
    const Fd file(open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat info {};
    if (!file.valid() || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    Found found;
    found.name = entry.path().stem().string();
    found.bytes = uint64_t(info.st_size);
    found.head.resize(readers_end_bytes);
    if (pread(file.get(), found.head.data(), readers_end_bytes, 0) != ssize_t(readers_end_bytes))
      std::fill(found.head.begin(), found.head.end(), std::byte{0});
    found.counted = count_blocks(path + "/" + found.name + index_suffix, &found.blocks);
    all.push_back(std::move(found));
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.name < b.name; });
  return all;
}

std::string mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string contents_of(const Found& found) {
  return (found.counted ? std::to_string(found.blocks) + " blocks" : "its blocks, not counted,") +
         " in " + mib(found.bytes);
}

}  // namespace

std::string why_not_kept(std::span<const std::byte> head, uint64_t file_bytes,
                         const WantedSpace& wanted, uint32_t shards) {
  shm::PoolHeader header{};
  if (head.size() >= sizeof header) std::memcpy(&header, head.data(), sizeof header);
  if (header.magic != shm::pool_magic) return "holds no pool of speckv";
  if (header.version != shm::pool_version)
    return "has format " + std::to_string(header.version) + ", this speckvd writes " +
           std::to_string(shm::pool_version);
  if (std::strncmp(header.namespace_name, wanted.name.c_str(), sizeof header.namespace_name) != 0)
    return "was made for another namespace";
  const uint64_t units = wanted.bytes / shm::unit_bytes - 1;
  if (header.units != units || file_bytes != (units + 1) * shm::unit_bytes)
    return "has " + mib(file_bytes) + ", the configuration says " + mib(wanted.bytes);
  if (header.shards != shards)
    return "is cut for " + std::to_string(header.shards) + " data threads, not " +
           std::to_string(shards);
  Readers before;
  if (!before.read(head)) return "does not say who could read it";
  if (const std::string who = before.who_is_missing_in(wanted.readers); !who.empty())
    return "may still be mapped by " + who + ", who may not read it any more";
  return "";
}

std::vector<std::string> what_a_start_drops(const MediumOptions& options,
                                            std::span<const WantedSpace> wanted, uint32_t shards) {
  std::vector<std::string> told;
  if (!pool::is_our_mount(options.path)) return told;
  for (const Found& found : look(options.path)) {
    const auto is_it = [&](const WantedSpace& each) { return each.name == found.name; };
    const auto space = std::find_if(wanted.begin(), wanted.end(), is_it);
    const std::string head = "namespace " + found.name + ": " + contents_of(found);
    if (options.kind != "shm") {
      told.push_back(head + " go: the medium is \"" + options.kind + "\" now, not \"shm\"");
    } else if (space == wanted.end()) {
      told.push_back(head + " go: the configuration does not name it any more");
    } else if (const std::string why = why_not_kept(found.head, found.bytes, *space, shards);
               !why.empty()) {
      told.push_back(head + " go: the pool " + why);
    } else if (found.counted && found.blocks > space->index_entries) {
      told.push_back("namespace " + found.name + ": about " +
                     std::to_string(found.blocks - space->index_entries) + " of " +
                     std::to_string(found.blocks) + " blocks go: index_entries is " +
                     std::to_string(space->index_entries) + " now");
    }
  }
  return told;
}

}  // namespace speckv
