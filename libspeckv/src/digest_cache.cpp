// SPDX-License-Identifier: Apache-2.0
#include "src/digest_cache.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "src/sha256.hpp"

namespace speckv::lib {
namespace {

constexpr uint64_t record_magic = 0x3130474449564b53ull;  // "SKVIDG01"
constexpr time_t settled_s = 2;  // coarser than the clock of any file system that we know

struct Record {
  uint64_t magic;
  uint64_t device, inode, size;
  int64_t changed_s, changed_ns, modified_s, modified_ns;
  uint8_t path[SPECKV_DIGEST_BYTES];  // SHA-256 of it
  uint8_t digest[SPECKV_DIGEST_BYTES];
  uint8_t check[SPECKV_DIGEST_BYTES];  // SHA-256 of all before
};

// Returns: the length, 0 when there is no place for a cache.
size_t folder_of_cache(char* ret_folder, size_t bytes) {
  int length = 0;
  const char* own = secure_getenv("SPECKV_DIGEST_CACHE");
  const char* cache = secure_getenv("XDG_CACHE_HOME");
  const char* home = secure_getenv("HOME");
  if (own) length = std::snprintf(ret_folder, bytes, "%s", own);
  else if (cache && *cache) length = std::snprintf(ret_folder, bytes, "%s/speckv/digests", cache);
  else if (home && *home)
    length = std::snprintf(ret_folder, bytes, "%s/.cache/speckv/digests", home);
  return length > 0 && size_t(length) < bytes && ret_folder[0] == '/' ? size_t(length) : 0;
}

int digest_of(const void* data, size_t bytes, uint8_t* ret_digest) {
  Sha256 hash;
  hash.add(data, bytes);
  return hash.finish(ret_digest);
}

bool fill(const char* path, const struct stat& file, const uint8_t* digest, Record* ret_record) {
  Record record{};
  record.magic = record_magic;
  record.device = file.st_dev;
  record.inode = file.st_ino;
  record.size = uint64_t(file.st_size);
  record.changed_s = file.st_ctim.tv_sec;
  record.changed_ns = file.st_ctim.tv_nsec;
  record.modified_s = file.st_mtim.tv_sec;
  record.modified_ns = file.st_mtim.tv_nsec;
  if (digest_of(path, std::strlen(path), record.path) != 0) return false;
  std::memcpy(record.digest, digest, sizeof record.digest);
  if (digest_of(&record, offsetof(Record, check), record.check) != 0) return false;
  *ret_record = record;
  return true;
}

// Appends the record's name to a folder's. Returns: false when it does not fit.
bool add_name(char* folder, size_t length, size_t bytes, const Record& record) {
  if (length + 2 + 2 * sizeof record.path + sizeof ".12345678.new" > bytes) return false;
  folder[length++] = '/';
  for (uint8_t byte : record.path) length += size_t(std::sprintf(folder + length, "%02x", byte));
  return true;
}

// What others can write proves nothing.
bool is_own(int fd, mode_t type) {
  struct stat status;
  return fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == type &&
         status.st_uid == geteuid() && !(status.st_mode & (S_IWGRP | S_IWOTH));
}

// Makes the folders that are missing, private ones.
void make_folders(char* folder) {
  for (char* at = folder + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    mkdir(folder, 0700);
    *at = '/';
  }
  mkdir(folder, 0700);
}

bool folder_is_own(const char* folder) {
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool own = fd >= 0 && is_own(fd, S_IFDIR);
  if (fd >= 0) close(fd);
  return own;
}

}  // namespace

bool recall_digest(const char* path, const struct stat& file,
                   uint8_t ret_digest[SPECKV_DIGEST_BYTES]) {
  char name[4096];
  const size_t length = folder_of_cache(name, sizeof name);
  const uint8_t none[SPECKV_DIGEST_BYTES] = {};
  Record wanted{}, kept{};
  if (length == 0 || !fill(path, file, none, &wanted) || !folder_is_own(name) ||
      !add_name(name, length, sizeof name, wanted))
    return false;
  const int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  const bool whole = is_own(fd, S_IFREG) && read(fd, &kept, sizeof kept) == ssize_t(sizeof kept);
  close(fd);
  uint8_t check[SPECKV_DIGEST_BYTES];
  if (!whole || digest_of(&kept, offsetof(Record, check), check) != 0 ||
      std::memcmp(check, kept.check, sizeof check) != 0 ||
      std::memcmp(&kept, &wanted, offsetof(Record, digest)) != 0)
    return false;
  std::memcpy(ret_digest, kept.digest, sizeof kept.digest);
  return true;
}

void keep_digest(const char* path, const struct stat& file,
                 const uint8_t digest[SPECKV_DIGEST_BYTES]) {
  const time_t now = time(nullptr);
  if (now - file.st_ctim.tv_sec < settled_s || now - file.st_mtim.tv_sec < settled_s) return;
  char name[4096], fresh[4096 + 16];
  Record record{};
  const size_t length = folder_of_cache(name, sizeof name);
  if (length == 0 || !fill(path, file, digest, &record)) return;
  make_folders(name);
  if (!folder_is_own(name) || !add_name(name, length, sizeof name, record)) return;
  std::snprintf(fresh, sizeof fresh, "%s.%d.new", name, int(getpid()));
  const int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool whole = write(fd, &record, sizeof record) == ssize_t(sizeof record);
  close(fd);
  if (!whole || rename(fresh, name) != 0) unlink(fresh);
}

}  // namespace speckv::lib
