// SPDX-License-Identifier: Apache-2.0
// keys.cpp - keys and digests: SHA-256 by libcrypto over tagged, length-prefixed fields.
//
// Every variable field is preceded by its length, so that no two inputs give the same bytes to
// hash.
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "src/abi.hpp"
#include "src/limits.hpp"

namespace speckv::lib {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tokens and lengths are hashed little-endian");

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    ok_ = context_ && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1;
  }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(const void* data, size_t bytes) {
    ok_ = ok_ && (bytes == 0 || EVP_DigestUpdate(context_, data, bytes) == 1);
  }
  void add_field(const void* data, uint64_t bytes) {
    add(&bytes, sizeof bytes);
    add(data, bytes);
  }
  // Returns: 0 or -ENOMEM, the only way in which libcrypto can fail here.
  int finish(uint8_t* ret_digest) {
    uint8_t digest[32];
    ok_ = ok_ && EVP_DigestFinal_ex(context_, digest, nullptr) == 1;
    if (ok_) std::memcpy(ret_digest, digest, sizeof digest);
    return ok_ ? 0 : -ENOMEM;
  }

 private:
  EVP_MD_CTX* context_;
  bool ok_;
};

int digest_of(int fd, uint8_t* ret_digest) {
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

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_key_chain(const uint8_t* parent, const void* salt, size_t salt_bytes,
                                const int32_t* tokens, size_t count,
                                uint8_t ret_key[SPECKV_KEY_BYTES]) {
  if (!ret_key || (salt_bytes && !salt) || (count && !tokens)) return -EINVAL;
  if (count == 0) return -ENODATA;
  if (count > SPECKV_BLOCK_TOKENS_MAX) return -ERANGE;
  static constexpr char tag[] = "speckv-key-1";
  Sha256 hash;
  hash.add(tag, sizeof tag);
  hash.add_field(parent, parent ? SPECKV_KEY_BYTES : 0);
  hash.add_field(salt, salt_bytes);
  hash.add_field(tokens, count * sizeof *tokens);
  return hash.finish(ret_key);
}

extern "C" int speckv_variant_digest(const uint8_t* lora_digest, const char* engine,
                                     const char* kv_format,
                                     uint8_t ret_digest[SPECKV_DIGEST_BYTES]) {
  if (!engine || !kv_format || !ret_digest) return -EINVAL;
  static constexpr char tag[] = "speckv-variant-1";
  Sha256 hash;
  hash.add(tag, sizeof tag);
  hash.add_field(lora_digest, lora_digest ? SPECKV_DIGEST_BYTES : 0);
  hash.add_field(engine, std::strlen(engine));
  hash.add_field(kv_format, std::strlen(kv_format));
  return hash.finish(ret_digest);
}

extern "C" int speckv_file_digest(const char* path, uint8_t ret_digest[SPECKV_DIGEST_BYTES]) {
  if (!path || !ret_digest) return -EINVAL;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int result = digest_of(fd, ret_digest);
  close(fd);
  return result;
}
