// SPDX-License-Identifier: Apache-2.0
// spill_file.cpp - see spill_file.hpp.
#include "pool/spill_file.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "pool/spill_format.hpp"

namespace speckv {

namespace {

constexpr uint32_t busy_look_ms = 10;
constexpr uint64_t looked_at_bytes = 1 << 20;  // of a device: where file systems have their marks

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};
using Aligned = std::unique_ptr<std::byte[], Freed>;

Aligned aligned(uint64_t bytes) {
  void* memory = std::aligned_alloc(spill::page_bytes, bytes);
  SPECKV_ASSERT(memory, "no memory for a page of a spill file");
  std::memset(memory, 0, bytes);
  return Aligned(static_cast<std::byte*>(memory));
}

std::string number(uint64_t value) { return std::to_string(value); }

// What lies at this path, before it is opened: an open of a pipe waits, one of a tape moves it.
Status check_kind(const std::string& path, bool* ret_there, bool* ret_device) {
  struct stat found {};
  *ret_there = stat(path.c_str(), &found) == 0;
  if (!*ret_there && errno != ENOENT) return Status::from_errno("spill_path " + path);
  if (!*ret_there) return {};
  *ret_device = S_ISBLK(found.st_mode);
  if (S_ISDIR(found.st_mode))
    return {EISDIR, "spill_path " + path +
                        " is a directory; expected a file, a block device, or a name in a folder "
                        "that exists"};
  if (!*ret_device && !S_ISREG(found.st_mode))
    return {ENOTBLK, "spill_path " + path + " is neither a file nor a block device"};
  return {};
}

Status read_some(int fd, std::span<std::byte> into, uint64_t offset, const std::string& path) {
  const ssize_t got = pread(fd, into.data(), into.size(), off_t(offset));
  if (got < 0) return Status::from_errno("reading spill_path " + path);
  std::fill(into.begin() + got, into.end(), std::byte{0});
  return {};
}

}  // namespace

SpillFile& SpillFile::operator=(SpillFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  bytes_ = other.bytes_;
  direct_ = other.direct_;
  device_ = other.device_;
  created_ = other.created_;
  parts_.swap(other.parts_);
  not_kept_.swap(other.not_kept_);
  return *this;
}

SpillFile::~SpillFile() {
  if (fd_ >= 0) close(fd_);
}

Result<SpillFile> SpillFile::open(const SpillWanted& wanted) {
  SpillFile file;
  bool ours = false;
  Status status = file.open_it(wanted);
  for (uint64_t ms = 0; status.error() == EBUSY && ms < wanted.patience_ms; ms += busy_look_ms) {
    usleep(busy_look_ms * 1000);
    file = SpillFile();
    status = file.open_it(wanted);
  }
  if (status.ok()) status = file.look(wanted, &ours);
  if (status.ok()) status = file.size_it(wanted);
  if (status.ok() && !ours) status = file.format(wanted);
  if (!status.ok() && file.created_) unlink(wanted.path.c_str());
  if (!status.ok()) return status;
  return file;
}

// O_EXCL on a device: nobody else has it, no file system is mounted from it.
Status SpillFile::open_it(const SpillWanted& wanted) {
  const std::string& path = wanted.path;
  bool there = false;
  Status status = check_kind(path, &there, &device_);
  if (!status.ok()) return status;
  created_ = !there;
  const int flags = O_RDWR | O_CLOEXEC | (created_ ? O_CREAT | O_EXCL : 0) | (device_ ? O_EXCL : 0);
  fd_ = ::open(path.c_str(), flags | O_DIRECT, 0600);
  if (fd_ < 0 && errno == EINVAL) {
    direct_ = false;
    fd_ = ::open(path.c_str(), flags & ~O_EXCL, 0600);
  }
  if (fd_ < 0) {
    const int error = errno;
    created_ = false;
    if (error == EBUSY)
      return {EBUSY, "spill_path " + path + " is in use: mounted, or another daemon's"};
    errno = error;
    return Status::from_errno("opening spill_path " + path);
  }
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0)
    return {EBUSY, "spill_path " + path + " is in use by another process"};
  const off_t end = lseek(fd_, 0, SEEK_END);
  if (end < 0) return Status::from_errno("the size of spill_path " + path);
  bytes_ = uint64_t(end);
  return {};
}

// Whose bytes are there. ret_ours: this namespace's, of the shape that is wanted.
Status SpillFile::look(const SpillWanted& wanted, bool* ret_ours) {
  const std::string& path = wanted.path;
  const uint64_t part_bytes = wanted.bytes / wanted.shards / spill::unit_bytes * spill::unit_bytes;
  for (uint32_t shard = 0; shard < wanted.shards; shard++)
    parts_.push_back({shard * part_bytes, part_bytes / spill::unit_bytes - 1, 0, false});
  if (bytes_ == 0) return {};
  Aligned bytes = aligned(looked_at_bytes);
  Status status = read_some(fd_, {bytes.get(), looked_at_bytes}, 0, path);
  if (!status.ok()) return status;
  const auto& block = *reinterpret_cast<const spill::Superblock*>(bytes.get());
  if (block.magic != spill::superblock_magic) {
    if (std::all_of(bytes.get(), bytes.get() + looked_at_bytes,
                    [](std::byte each) { return each == std::byte{0}; }))
      return {};
    return {EEXIST, "spill_path " + path + " holds something else (" + number(bytes_) +
                        " bytes that are no spill file); expected an empty one, a new name, or a "
                        "device that was wiped (blkdiscard -z)"};
  }
  if (block.version > spill::version || block.pool_version > shm::pool_version)
    return {EPROTONOSUPPORT, "spill_path " + path + " is of a newer format (" +
                                 number(block.version) + ", pool " + number(block.pool_version) +
                                 "); this daemon knows up to " + number(spill::version) +
                                 ", pool " + number(shm::pool_version) +
                                 ": run the newer one, or remove the file"};
  if (block.check != spill::superblock_check(block))
    return {EBADMSG, "spill_path " + path +
                         " has a damaged header; remove the file to start with an empty one"};
  const std::string space(block.namespace_name,
                          strnlen(block.namespace_name, sizeof block.namespace_name));
  if (space != wanted.space)
    return {EEXIST, "spill_path " + path + " belongs to namespace " + space + ", not " +
                        wanted.space + "; name another file, or remove this one"};
  const uint64_t said = (block.units + 1) * spill::unit_bytes * block.shards;
  if (block.units > (1ull << 40) || block.shards > shm::shards_max || said > bytes_)
    return {ENODATA, "spill_path " + path + " has " + number(bytes_) +
                         " bytes and its header says " + number(said) +
                         ": it was cut short; remove it to start with an empty one"};
  if (block.version < spill::version || block.pool_version < shm::pool_version)
    not_kept_ = "is of an older format";
  else if (block.units != parts_[0].units || block.shards != wanted.shards)
    not_kept_ = "has " + number(block.shards) + " shards of " + number(block.units) +
                " units, and the configuration asks for " + number(wanted.shards) + " of " +
                number(parts_[0].units);
  if (!not_kept_.empty()) return {};
  for (uint32_t shard = 0; shard < wanted.shards; shard++) {
    status = read_some(fd_, {bytes.get(), spill::page_bytes}, parts_[shard].base, path);
    if (!status.ok()) return status;
    if (block.magic != spill::superblock_magic || block.shard != shard ||
        block.check != spill::superblock_check(block)) {
      not_kept_ = "has a damaged header of shard " + number(shard);
      return {};
    }
    parts_[shard].store_id = block.store_id;
    parts_[shard].existed = true;
  }
  *ret_ours = true;
  return {};
}

// All of it is allocated now: a full disk is said at start and not by a write.
Status SpillFile::size_it(const SpillWanted& wanted) {
  const uint64_t bytes = wanted.shards * (parts_[0].units + 1) * spill::unit_bytes;
  if (device_) {
    if (bytes_ < bytes)
      return {ENOSPC, "spill_bytes is " + number(wanted.bytes) + " and the device " + wanted.path +
                          " has " + number(bytes_) + "; expected at most that"};
    int sector = 0;
    if (ioctl(fd_, BLKSSZGET, &sector) == 0 && uint32_t(sector) > spill::page_bytes)
      return {EINVAL, "spill_path " + wanted.path + " has sectors of " + number(uint64_t(sector)) +
                          " bytes; expected at most 4096"};
    return {};
  }
  const int error = posix_fallocate(fd_, 0, off_t(bytes));
  if (error == 0) return {};
  if (ftruncate(fd_, off_t(bytes_)) != 0) not_kept_.clear();
  return {error, "spill_path " + wanted.path + ": no room for spill_bytes = " +
                     number(wanted.bytes) + ": " + std::strerror(error)};
}

// A new id: no page that may stand in there counts any more.
Status SpillFile::format(const SpillWanted& wanted) {
  Aligned page = aligned(spill::page_bytes);
  for (uint32_t shard = 0; shard < wanted.shards; shard++) {
    auto& block = *reinterpret_cast<spill::Superblock*>(page.get());
    block = spill::Superblock{};
    block.magic = spill::superblock_magic;
    block.version = spill::version;
    block.shard = shard;
    block.units = parts_[shard].units;
    block.shards = wanted.shards;
    block.pool_version = shm::pool_version;
    std::snprintf(block.namespace_name, sizeof block.namespace_name, "%s", wanted.space.c_str());
    if (getrandom(&block.store_id, sizeof block.store_id, 0) != sizeof block.store_id)
      return Status::from_errno("getrandom");
    block.check = spill::superblock_check(block);
    parts_[shard].store_id = block.store_id;
    parts_[shard].existed = false;
    if (pwrite(fd_, page.get(), spill::page_bytes, off_t(parts_[shard].base)) !=
        ssize_t(spill::page_bytes))
      return Status::from_errno("writing the header of spill_path " + wanted.path);
  }
  if (fsync(fd_) != 0) return Status::from_errno("fsync of spill_path " + wanted.path);
  return {};
}

}  // namespace speckv
