// SPDX-License-Identifier: Apache-2.0
// allocations.cpp - a counting operator new for the whole test binary. See allocations.hpp.
#include "allocations.hpp"

#include <cstdlib>
#include <new>

static size_t g_allocations = 0;

void* operator new(size_t bytes) {
  ++g_allocations;
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace speckv::predict {

size_t allocations() { return g_allocations; }

}  // namespace speckv::predict
