// SPDX-License-Identifier: Apache-2.0
// memory.cpp - buffers, copies, machine. See memory.hpp.
#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "codec/half.hpp"

namespace speckv::bench {

Buffer::Buffer(size_t bytes) : base_(nullptr), bytes_(bytes) {
  void* const base =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    std::fprintf(stderr, "bench: cannot map %zu MiB; free memory or run with --quick\n",
                 bytes >> 20);
    std::exit(1);
  }
  madvise(base, bytes, MADV_HUGEPAGE);
  std::memset(base, 1, bytes);
  base_ = static_cast<std::byte*>(base);
}

Buffer::~Buffer() { munmap(base_, bytes_); }

size_t l3_bytes() {
  // what this CPU shares; sysconf adds up the whole package on some AMD parts
  std::ifstream in("/sys/devices/system/cpu/cpu0/cache/index3/size");
  size_t kib = 0;
  if (in >> kib && kib > 0) return kib << 10;
  const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return bytes > 0 ? size_t(bytes) : size_t{32} << 20;
}

void stream_copy(void* to, const void* from, size_t n) {
#if defined(__x86_64__)
  auto* target = static_cast<__m128i*>(to);
  const auto* source = static_cast<const __m128i*>(from);
  const size_t vectors = n / sizeof(__m128i);
  size_t i = 0;
  for (; i + 4 <= vectors; i += 4) {
    const __m128i a = _mm_loadu_si128(source + i), b = _mm_loadu_si128(source + i + 1);
    const __m128i c = _mm_loadu_si128(source + i + 2), d = _mm_loadu_si128(source + i + 3);
    _mm_stream_si128(target + i, a);
    _mm_stream_si128(target + i + 1, b);
    _mm_stream_si128(target + i + 2, c);
    _mm_stream_si128(target + i + 3, d);
  }
  std::memcpy(target + i, source + i, n - i * sizeof(__m128i));
  _mm_sfence();
#else
  std::memcpy(to, from, n);
#endif
}

void fill_kv(std::byte* to, size_t n, uint32_t head_dim, uint64_t seed) {
  std::mt19937_64 random(seed);
  const size_t values = n / 2;
  for (size_t i = 0; i < values; ++i) {
    const uint64_t bits = random();
    // the sum of four uniform bytes: near enough to a normal
    const int noise = int(bits & 255) + int(bits >> 8 & 255) + int(bits >> 16 & 255) +
                      int(bits >> 24 & 255) - 510;
    const int offset = i < values / 2 ? int(i % head_dim * 193 % 2048) - 1024 : 0;
    const uint16_t half = codec::round_to_half(noise + offset, -9, false);
    std::memcpy(to + 2 * i, &half, 2);
  }
}

std::string machine_text() {
  std::string model = "unknown CPU";
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    model = line.substr(line.find(':') + 2);
    break;
  }
  return model + ", " + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)) + " CPUs, L3 " +
         std::to_string(l3_bytes() >> 20) + " MiB";
}

std::string page_size_text(const void* address) {
  std::ifstream in("/proc/self/smaps");
  bool here = false;
  uint64_t size_kib = 0;
  for (std::string line; std::getline(in, line);) {
    uint64_t from = 0, to = 0, kib = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      const auto at = reinterpret_cast<uint64_t>(address);
      here = at >= from && at < to;
    } else if (here && std::sscanf(line.c_str(), "Size: %lu kB", &kib) == 1) {
      size_kib = kib;
    } else if (here && std::sscanf(line.c_str(), "KernelPageSize: %lu kB", &kib) == 1 && kib > 4) {
      return std::to_string(kib >> 10) + " MiB pages";
    } else if (here && (std::sscanf(line.c_str(), "AnonHugePages: %lu kB", &kib) == 1 ||
                        std::sscanf(line.c_str(), "ShmemPmdMapped: %lu kB", &kib) == 1)) {
      if (kib >= size_kib * 9 / 10) return "2 MiB pages";
      if (kib > 0) return std::to_string(100 * kib / size_kib) + " % in 2 MiB pages";
    }
  }
  return "4 KiB pages";
}

}  // namespace speckv::bench
