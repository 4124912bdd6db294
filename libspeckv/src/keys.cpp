// SPDX-License-Identifier: Apache-2.0
// keys.cpp - keys of blocks, and the digest of what else changes their bytes; of files:
// digests.cpp.
#include <cerrno>
#include <cstring>

#include "src/abi.hpp"
#include "src/sha256.hpp"

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
