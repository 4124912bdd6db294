// SPDX-License-Identifier: Apache-2.0
// driver.cpp (fuzz) - any bytes as a sequence of granule operations, as ioctl arguments, as
// commands and as completions of an engine, for the code that runs in the kernel: the tables stay
// sound after every step, an argument that passes its check keeps what the driver relies on, and a
// completion that is believed names a command under way. Compiles the driver's own files.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
#include "check.h"
#include "cmd_check.h"
#include "ring.h"
#include "space.h"
}

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

struct Run {
  u32 first, count;
};

void fuzz_space(const uint8_t* data, size_t size) {
  speckv_space space;
  require(speckv_space_init(&space, 1 + data[0]) == 0);
  std::vector<Run> used;
  for (size_t i = 1; i + 1 < size; i += 2) {
    const u32 operand = data[i + 1];
    Run run{0, 1 + operand % 17};
    u32 granule;
    switch (data[i] % 5) {
      case 0:
        if (speckv_space_take(&space, run.count, &run.first) == 0) used.push_back(run);
        break;
      case 1:
        if (used.empty()) break;
        std::swap(used[operand % used.size()], used.back());
        speckv_space_give(&space, used.back().first, used.back().count);
        used.pop_back();
        break;
      case 2:
      case 3:
        granule = speckv_space_next_dirty(&space);
        if (granule == SPECKV_NO_GRANULE) break;
        if (data[i] % 5 == 2) speckv_space_cleaned(&space, granule);
        else speckv_space_postpone(&space, granule);
        break;
      default:
        speckv_space_poison(&space, operand % space.granules);
    }
    require(speckv_space_is_sound(&space));
  }
  speckv_space_destroy(&space);
}

template <typename T>
T argument(const uint8_t* data, size_t size) {
  T arg{};
  std::memcpy(&arg, data, size < sizeof(T) ? size : sizeof(T));
  return arg;
}

void fuzz_checks(const uint8_t* data, size_t size) {
  const u64 device_bytes = SPECKV_GRANULE_BYTES << (data[0] % 24);
  ++data, --size;
  const auto alloc = argument<speckv_alloc>(data, size);
  if (speckv_check_alloc(&alloc, device_bytes) == 0)
    require(alloc.bytes && alloc.bytes <= device_bytes && alloc.bytes % SPECKV_GRANULE_BYTES == 0 &&
            !alloc.handle);
  const auto change = argument<speckv_export>(data, size);
  if (speckv_check_export(&change) == 0)
    require(change.count <= SPECKV_CALL_MAX && (change.fd >= 0 || change.flags & 1));
  const auto poison = argument<speckv_poison>(data, size);
  if (speckv_check_poison(&poison, device_bytes) == 0 && poison.flags == SPECKV_POISON_MARK)
    require(poison.offset + poison.bytes <= device_bytes &&
            poison.offset + poison.bytes > poison.offset);
  const auto list = argument<speckv_list>(data, size);
  if (speckv_check_list(&list) == 0) require(list.count && list.count <= SPECKV_CALL_MAX);
  const auto stat = argument<speckv_stat>(data, size);
  if (speckv_check_stat(&stat) == 0) require(stat.fd >= -1);
}

void fuzz_commands(const uint8_t* data, size_t size) {
  speckv_caps caps{};
  const auto words = argument<std::array<u32, 3>>(data, size);
  speckv_caps_unpack(&caps, words[0], words[1], words[2]);
  caps.operations = 0xff;
  caps.encoders = caps.decoders = ~0U;
  const auto cmd = argument<speckv_cmd>(data + 2, size - 2);
  speckv_plan plan;
  u32 window;
  if (speckv_check_cmd(&cmd, &caps, &plan) == 0) {
    require(cmd.queue < caps.queues && plan.source_bytes <= SPECKV_CMD_BYTES_MAX &&
            plan.target_bytes <= SPECKV_CMD_BYTES_MAX);
    require(plan.source_bytes % 64 == 0 && plan.target_bytes % 64 == 0);
    require(!plan.has_theta || plan.theta < caps.thetas);
    require(u64(plan.first) + plan.widths <= caps.widths || plan.widths == 0);
    require((plan.source_bytes != 0) == (cmd.source != 0));
    require((plan.target_bytes != 0) == (cmd.target != 0));
  }
  const u64 extent_bytes = u64(cmd.heads) << 24;
  if (speckv_check_window(cmd.target_offset, cmd.bytes, extent_bytes, &window) == 0)
    require(cmd.target_offset + cmd.bytes <= extent_bytes &&
            window == (cmd.target_offset + cmd.bytes - 1) >> SPECKV_WINDOW_SHIFT);
}

// Each byte a step: a command is given, or the engine says something, true or made up.
void fuzz_ring(const uint8_t* data, size_t size) {
  speckv_ring ring;
  speckv_ring_init(&ring);
  std::vector<u64> under_way;
  for (size_t i = 0; i + 1 < size; i += 2) {
    u32 tag;
    u64 cookie;
    if (data[i] % 4 == 0) {
      if (speckv_ring_take(&ring, &tag, &cookie) == 0) under_way.push_back(cookie);
      else require(under_way.size() == SPECKV_RING_SLOTS);
      continue;
    }
    auto told = argument<speckv_engine_completion>(data + i + 1, size - i - 1);
    if (data[i] % 4 != 1) {
      told = {};
      told.cookie = under_way.empty() ? data[i + 1] : under_way[data[i + 1] % under_way.size()];
      told.sq_head = uint16_t(ring.tail - data[i] / 4 % 2);
      told.cookie ^= u64(data[i] / 8 % 2) << (data[i + 1] % 64);
    }
    const int ended = speckv_ring_accept(&ring, &told);
    if (ended < 0) continue;
    const auto found = std::find(under_way.begin(), under_way.end(), told.cookie);
    require(found != under_way.end() && u32(*found) == u32(ended));
    under_way.erase(found);
    speckv_ring_give(&ring, u32(ended));
    require(ring.used == under_way.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  fuzz_space(data, size);
  fuzz_checks(data, size);
  fuzz_commands(data, size);
  fuzz_ring(data, size);
  return 0;
}
