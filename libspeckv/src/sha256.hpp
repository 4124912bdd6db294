// SPDX-License-Identifier: Apache-2.0
// sha256.hpp - SHA-256 by libcrypto, for keys.cpp and digests.cpp: one digest at a time.
//
// The algorithm is looked up once in a process, and a thread keeps its context: looking it up costs
// more than hashing a key. Short pieces go to libcrypto together, since each call costs a tenth of
// a key. Fields of variable length are preceded by their length, so that no two
// inputs give the same bytes to hash.
#pragma once

#include <openssl/evp.h>

#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace speckv::lib {

static_assert(std::endian::native == std::endian::little,
              "tokens and lengths are hashed little-endian");

class Sha256 {
 public:
  Sha256() : context_(own_context()) {
    ok_ = context_ && EVP_DigestInit_ex(context_, algorithm(), nullptr) == 1;
  }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(const void* data, size_t bytes) {
    if (bytes == 0) return;
    if (bytes > sizeof held_ - held_bytes_) hash_held();
    if (bytes > sizeof held_) return hash(data, bytes);
    std::memcpy(held_ + held_bytes_, data, bytes);
    held_bytes_ += bytes;
  }
  void add_field(const void* data, uint64_t bytes) {
    add(&bytes, sizeof bytes);
    add(data, bytes);
  }
  // Returns: 0 or -ENOMEM, the only way in which libcrypto can fail here.
  int finish(uint8_t* ret_digest) {
    uint8_t digest[32];
    hash_held();
    ok_ = ok_ && EVP_DigestFinal_ex(context_, digest, nullptr) == 1;
    if (ok_) std::memcpy(ret_digest, digest, sizeof digest);
    return ok_ ? 0 : -ENOMEM;
  }

 private:
  struct Context {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~Context() { EVP_MD_CTX_free(context); }
  };
  void hash(const void* data, size_t bytes) {
    ok_ = ok_ && EVP_DigestUpdate(context_, data, bytes) == 1;
  }
  void hash_held() {
    if (held_bytes_) hash(held_, held_bytes_);
    held_bytes_ = 0;
  }

  // Requires: no other Sha256 of this thread lives.
  static EVP_MD_CTX* own_context() {
    thread_local Context mine;
    return mine.context;
  }
  static const EVP_MD* algorithm() {
    static const EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return fetched ? fetched : EVP_sha256();
  }

  EVP_MD_CTX* context_;
  bool ok_;
  size_t held_bytes_ = 0;
  uint8_t held_[512];  // a key of 64 tokens and a salt of 128 bytes
};

}  // namespace speckv::lib
