// SPDX-License-Identifier: Apache-2.0
// digests.cpp - speckv_file_digest, speckv_files_digest: what the bytes of a model's files are.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "src/abi.hpp"
#include "src/digest_cache.hpp"
#include "src/limits.hpp"
#include "src/model_files.hpp"
#include "src/sha256.hpp"

namespace speckv::lib {
namespace {

int hash_file(int fd, uint8_t* ret_digest) {
  const std::unique_ptr<char[]> buffer(new (std::nothrow) char[file_digest_buffer_bytes]);
  if (!buffer) return -ENOMEM;
  Sha256 hash;
  for (;;) {
    const ssize_t got = read(fd, buffer.get(), file_digest_buffer_bytes);
    if (got == 0) return hash.finish(ret_digest);
    if (got > 0) hash.add(buffer.get(), size_t(got));
    else if (errno != EINTR) return -errno;
  }
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
         a.st_ctim.tv_nsec == b.st_ctim.tv_nsec && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

int digest_of_open(const char* path, int fd, uint8_t* ret_digest) {
  struct stat before, after;
  const bool regular = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
  if (regular && recall_digest(path, before, ret_digest)) return 0;
  const int result = hash_file(fd, ret_digest);
  if (result == 0 && regular && fstat(fd, &after) == 0 && same_file(before, after))
    keep_digest(path, after, ret_digest);
  return result;
}

int digest_of_file(const char* path, uint8_t* ret_digest) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int result = digest_of_open(path, fd, ret_digest);
  close(fd);
  return result;
}

// Returns: 0 and all files in order.
int all_files(const char* const* paths, unsigned count, std::vector<std::string>* ret_files) {
  if (count == 1) return model_files(paths[0], ret_files);
  for (unsigned i = 0; i < count; i++) {
    if (!paths[i]) return -EINVAL;
    ret_files->emplace_back(paths[i]);
  }
  return 0;
}

int digest_of_files(const char* const* paths, unsigned count, uint8_t* ret_digest) {
  static constexpr char tag[] = "speckv-files-1";
  std::vector<std::string> files;
  int result = all_files(paths, count, &files);
  if (result != 0) return result;
  std::vector<uint8_t> digests(files.size() * SPECKV_DIGEST_BYTES);
  for (size_t i = 0; i < files.size() && result == 0; i++)
    result = digest_of_file(files[i].c_str(), &digests[i * SPECKV_DIGEST_BYTES]);
  if (result != 0) return result;
  if (files.size() == 1) return std::memcpy(ret_digest, digests.data(), SPECKV_DIGEST_BYTES), 0;
  Sha256 hash;
  hash.add(tag, sizeof tag);
  hash.add_field(digests.data(), digests.size());
  return hash.finish(ret_digest);
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_file_digest(const char* path, uint8_t ret_digest[SPECKV_DIGEST_BYTES]) {
  uint8_t digest[SPECKV_DIGEST_BYTES];
  if (!path || !ret_digest) return -EINVAL;
  const int result = digest_of_file(path, digest);
  if (result == 0) std::memcpy(ret_digest, digest, sizeof digest);
  return result;
}

extern "C" int speckv_files_digest(const char* const* paths, unsigned count,
                                   uint8_t ret_digest[SPECKV_DIGEST_BYTES]) {
  if (!paths || !ret_digest || (count && !paths[0])) return -EINVAL;
  if (count == 0) return -ENODATA;
  if (count > model_files_max) return -E2BIG;
  try {
    uint8_t digest[SPECKV_DIGEST_BYTES];
    const int result = digest_of_files(paths, count, digest);
    if (result == 0) std::memcpy(ret_digest, digest, sizeof digest);
    return result;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}
