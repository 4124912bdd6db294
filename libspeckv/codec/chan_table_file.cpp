// SPDX-License-Identifier: Apache-2.0
// chan_table_file.cpp - the calibration table as a file: a 64-byte header, then one int16 for each
// pair.
//
//   0  8  "SPKVCHAN"        8  4  version (2)       12  4  bytes of the whole file
//  16  8  checksum of everything after these 24 bytes (checksum.hpp)
//  24 32  digest of the model's weights             56  2  layers   58  2  kv heads   60  2  pairs
//  62  2  zero 64     layers * kv heads * pairs weights, little-endian int16
#include <cstring>

#include "codec/chan_table.hpp"
#include "codec/checksum.hpp"

namespace speckv::codec {
namespace {

constexpr char magic[8] = {'S', 'P', 'K', 'V', 'C', 'H', 'A', 'N'};
constexpr uint32_t version = 2;  // 1: four lanes of CRC-32C for a checksum
constexpr size_t header_bytes = 64, summed_from = 24;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t bytes;
  uint64_t checksum;
  uint8_t weights_digest[SPECKV_DIGEST_BYTES];
  uint16_t layers, kv_heads, pairs, zero;
};
static_assert(sizeof(Header) == header_bytes);

uint64_t sum_of(const std::byte* file, size_t bytes) {
  Checksum sum;
  checksum_update(sum, file + summed_from, bytes - summed_from);
  return checksum_final(sum);
}

}  // namespace

std::vector<std::byte> write_chan_weights(const ChanWeights& weights) {
  const size_t bytes = header_bytes + 2 * weights.weight.size();
  std::vector<std::byte> file(bytes);
  Header header{};
  std::memcpy(header.magic, magic, sizeof magic);
  header.version = version;
  header.bytes = static_cast<uint32_t>(bytes);
  std::memcpy(header.weights_digest, weights.weights_digest, SPECKV_DIGEST_BYTES);
  header.layers = weights.layers;
  header.kv_heads = weights.kv_heads;
  header.pairs = weights.pairs;
  std::memcpy(file.data(), &header, header_bytes);
  if (!weights.weight.empty()) {
    std::memcpy(file.data() + header_bytes, weights.weight.data(), 2 * weights.weight.size());
  }
  header.checksum = sum_of(file.data(), bytes);
  std::memcpy(file.data(), &header, header_bytes);
  return file;
}

bool parse_chan_weights(std::span<const std::byte> file, ChanWeights* ret_weights,
                        std::string* ret_error) {
  Header header;
  if (file.size() < header_bytes) {
    *ret_error =
        "a chanq table has at least 64 bytes; this file has " + std::to_string(file.size());
    return false;
  }
  std::memcpy(&header, file.data(), header_bytes);
  if (std::memcmp(header.magic, magic, sizeof magic) != 0) {
    *ret_error =
        "not a chanq table (it does not start with SPKVCHAN); make one with speckv-calibrate";
    return false;
  }
  if (header.version != version) {
    *ret_error = "chanq table version " + std::to_string(header.version) + "; this build reads " +
                 std::to_string(version) + ": calibrate again";
    return false;
  }
  const size_t count = size_t{header.layers} * header.kv_heads * header.pairs;
  const bool known_size = header.layers >= 1 && header.layers <= SPECKV_LAYERS_MAX &&
                          header.kv_heads >= 1 && header.kv_heads <= SPECKV_HEADS_MAX &&
                          header.pairs >= 1 && header.pairs <= chanq_pairs_max && header.zero == 0;
  if (!known_size || header.bytes != header_bytes + 2 * count) {
    *ret_error = "chanq table's header is damaged: " + std::to_string(header.layers) + " layers, " +
                 std::to_string(header.kv_heads) + " kv heads, " + std::to_string(header.pairs) +
                 " pairs, " + std::to_string(header.bytes) + " bytes";
    return false;
  }
  if (file.size() != header.bytes) {
    *ret_error = "chanq table should have " + std::to_string(header.bytes) +
                 " bytes; this file has " + std::to_string(file.size());
    return false;
  }
  if (sum_of(file.data(), file.size()) != header.checksum) {
    *ret_error = "chanq table's checksum is wrong: the file is damaged";
    return false;
  }
  std::memcpy(ret_weights->weights_digest, header.weights_digest, SPECKV_DIGEST_BYTES);
  ret_weights->layers = header.layers;
  ret_weights->kv_heads = header.kv_heads;
  ret_weights->pairs = header.pairs;
  ret_weights->weight.resize(count);
  std::memcpy(ret_weights->weight.data(), file.data() + header_bytes, 2 * count);
  return true;
}

}  // namespace speckv::codec
