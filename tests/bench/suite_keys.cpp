// SPDX-License-Identifier: Apache-2.0
// suite_keys.cpp - rows keys/{16,64,256}: what the key of a block of so many tokens costs
// (speckv_key_chain, with a parent), beside one SHA-256 by libcrypto over as many bytes, its
// algorithm and context kept.
#include <openssl/evp.h>

#include <array>
#include <string>
#include <vector>

#include "bench.hpp"
#include "speckv/speckv.h"

namespace speckv::bench {
namespace {

constexpr uint64_t kKeysPerTurn = 20'000;
constexpr size_t kFieldBytes = 13 + 3 * 8 + SPECKV_KEY_BYTES;  // tag, lengths, parent

void run_one(Report& report, size_t tokens_a_block) {
  const std::string name = "keys/" + std::to_string(tokens_a_block);
  if (!report.wants(name)) return;
  report.progress(name);
  std::vector<int32_t> tokens(tokens_a_block);
  std::array<uint8_t, SPECKV_KEY_BYTES> key{};
  bool good = true;
  const auto chain = [&] {
    for (uint64_t i = 0; i < kKeysPerTurn; ++i) {
      tokens[0] = int32_t(i);
      good &=
          speckv_key_chain(key.data(), nullptr, 0, tokens.data(), tokens.size(), key.data()) == 0;
    }
    return kKeysPerTurn;
  };
  std::vector<uint8_t> bytes(kFieldBytes + tokens.size() * sizeof tokens[0]);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const EVP_MD* sha256 = EVP_sha256();
  EVP_MD* fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  const auto once = [&] {
    uint8_t digest[32];
    for (uint64_t i = 0; i < kKeysPerTurn; ++i) {
      bytes[0] = uint8_t(i);
      good &= EVP_DigestInit_ex(context, fetched ? fetched : sha256, nullptr) == 1 &&
              EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1 &&
              EVP_DigestFinal_ex(context, digest, nullptr) == 1;
      bytes[1] = digest[0];
    }
    return kKeysPerTurn;
  };
  const auto timings = take_turns({{"sha256", once}, {"chain", chain}},
                                  report.options().quick ? 5 : 40, Clock::thread_cpu);
  EVP_MD_free(fetched);
  EVP_MD_CTX_free(context);
  if (!good) return report.skip(name, "libcrypto failed");
  Row row;
  row.name = name;
  row.value = timings[1].median_s * 1e9;
  row.unit = "ns";
  row.against = "sha256";
  row.ratio = timings[1].median_s / timings[0].median_s;
  row.goal = "<= 1.3";
  row.setting = "speckv_key_chain() of " + std::to_string(tokens_a_block) +
                " tokens after a parent; SHA-256 of " + std::to_string(bytes.size()) + " bytes";
  row.samples = timings[1].samples;
  row.spread = timings[1].spread;
  report.add(row);
}

}  // namespace

void suite_keys(Report& report) {
  for (const size_t tokens : {16, 64, 256}) run_one(report, tokens);
}

}  // namespace speckv::bench
