// SPDX-License-Identifier: Apache-2.0
// assert.hpp - for what cannot happen: a sentence, the place, and the end.
//
// Any room of the daemon may use it. SPECKV_ASSERT stays in release builds: a daemon whose own
// tables contradict each other must not go on serving other people's memory; its pool outlives it,
// and the next daemon rebuilds everything from there. SPECKV_DEBUG_ASSERT is for checks that cost
// more than a compare; it is gone under NDEBUG. Never for what a client, a file or a device can
// cause: that is a Status.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace speckv {

[[noreturn, gnu::cold]] inline void assertion_failed(const char* file, int line,
                                                     const char* sentence) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, sentence);
  std::abort();
}

}  // namespace speckv

#define SPECKV_ASSERT(condition, sentence) \
  (__builtin_expect(bool(condition), true) \
       ? void(0)                           \
       : ::speckv::assertion_failed(__FILE__, __LINE__, sentence))

#ifdef NDEBUG
#define SPECKV_DEBUG_ASSERT(condition, sentence) void(0)
#else
#define SPECKV_DEBUG_ASSERT(condition, sentence) SPECKV_ASSERT(condition, sentence)
#endif
