// SPDX-License-Identifier: Apache-2.0
// driver.cpp (fuzz) - any bytes as a sequence of granule operations, and as ioctl arguments, for
// the code that runs in the kernel: the tables stay sound after every step, and an argument that
// passes its check keeps what the driver relies on. Compiles the driver's own files.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
#include "check.h"
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  fuzz_space(data, size);
  fuzz_checks(data, size);
  return 0;
}
