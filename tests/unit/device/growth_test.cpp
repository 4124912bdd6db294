// SPDX-License-Identifier: Apache-2.0
// growth_test.cpp - 1,000 batches of 64 commands through the whole device process but its main():
// after the first 100 it grows by nothing, a batch costs no register read, and at most two
// interrupts.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <fstream>
#include <sstream>

#include "served_fixture.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool has_own_heap = false;  // a sanitizer keeps what is freed
#else
constexpr bool has_own_heap = true;
#endif

namespace speckv::device {
namespace {

using testing::Host;
using Growth = testing::ServedTest;

constexpr uint32_t batches = 1000, warm_batches = 100, batch = 64;

// Of this process, without the files that it maps: those are the guest's memory.
long anonymous_kib() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::string word;
  long kib = -1;
  while (rollup >> word)
    if (word == "Anonymous:") rollup >> kib;
  return kib;
}

uint64_t counted(const std::string& status, const std::string& name) {
  std::istringstream words(status);
  for (std::string word; words >> word;)
    if (word.starts_with(name + "=")) return std::stoull(word.substr(name.size() + 1));
  return 0;
}

TEST_F(Growth, AThousandBatches) {
  ASSERT_EQ(lend(Host::bus_base, Host::bytes), 0);
  const Descriptor event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  listen(5, event.get());
  host_.write(SPECKV_REG_MODERATION, batch);
  host_.set_up(7);
  // one head of one page of 32 x 64, K as rowq4, V as q8
  host_.write(SPECKV_REG_LAYOUTS_SHAPE, SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK | 1u |
                                            1u << SPECKV_REG_LAYOUTS_SHAPE_HEADS_SHIFT |
                                            1u << SPECKV_REG_LAYOUTS_SHAPE_PAGES_SHIFT);
  host_.write(SPECKV_REG_LAYOUTS_CODECS, 4u | 2u << SPECKV_REG_LAYOUTS_CODECS_V_SHIFT);
  long before = 0;
  uint64_t interrupts = 0, reads = 0, good = 0;
  for (uint32_t i = 0; i < batches; ++i) {
    if (i == warm_batches) {
      before = anonymous_kib();
      const std::string status = backend_.command("status");
      interrupts = counted(status, "interrupts");
      reads = counted(status, "reads");
    }
    for (uint32_t j = 0; j < batch; ++j) {
      speckv_engine_descriptor asked{};
      asked.opcode = j % 4 == 0 ? SPECKV_ENGINE_NOP : SPECKV_ENGINE_ENCODE;
      asked.cookie = j;
      if (asked.opcode == SPECKV_ENGINE_ENCODE) {
        asked.source_extent = asked.target_extent = Host::extent_data;
        asked.target_offset = (1 << 20) + j * 4096;
        asked.bytes = 1024 + 2112;
      }
      host_.place(asked);
    }
    host_.ring_bell();
    for (uint32_t j = 0; j < batch;) {
      if (const auto told = host_.poll()) {
        good += told->status == SPECKV_ENGINE_OK && told->cookie == j ? 1 : 0;
        ++j;
        continue;
      }
      pollfd waiting{event.get(), POLLIN, 0};
      ASSERT_EQ(::poll(&waiting, 1, 30'000), 1) << "no interrupt";
      uint64_t count;
      ASSERT_EQ(::read(event.get(), &count, sizeof(count)), ssize_t(sizeof(count)));
    }
  }
  EXPECT_EQ(good, uint64_t{batches} * batch);
  const std::string status = backend_.command("status");
  const uint64_t interrupts_a_batch =
      (counted(status, "interrupts") - interrupts) / (batches - warm_batches);
  EXPECT_LE(interrupts_a_batch, 2u);
  EXPECT_EQ(counted(status, "reads"), reads) << "a register was read";
  const long grown = anonymous_kib() - before;
  if (has_own_heap) {
    EXPECT_LE(grown, 0) << "KiB";
  }
  std::printf("%u batches of %u: grown by %ld KiB after %u, %llu interrupts a batch\n", batches,
              batch, grown, warm_batches, static_cast<unsigned long long>(interrupts_a_batch));
}

}  // namespace
}  // namespace speckv::device
