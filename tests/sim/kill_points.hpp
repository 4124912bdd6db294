// SPDX-License-Identifier: Apache-2.0
// kill_points.hpp - the daemon may die after any store to the pool: the journey and the slab pool
// are compiled with this header in front (CMakeLists.txt), so that each store and each fence of
// theirs is told to store_done(), which a simulation or a daemon made to die has of its own.
//
// Product code knows nothing of it. Never included by hand.
#pragma once

#include "shm/atomics.hpp"

namespace speckv::sim {
void store_done(const char* file, int line);
}

namespace speckv::shm {

template <typename T>
void mortal_store_relaxed(T& field, std::type_identity_t<T> value,
                          const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  store_relaxed(field, value);
  sim::store_done(file, line);
}
template <typename T>
void mortal_store_release(T& field, std::type_identity_t<T> value,
                          const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  store_release(field, value);
  sim::store_done(file, line);
}
template <typename T>
void mortal_store_racing(T* to, const T& from, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
  store_racing(to, from);
  sim::store_done(file, line);
}
inline void mortal_full_fence(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  full_fence();
  sim::store_done(file, line);
}

}  // namespace speckv::shm

#define store_relaxed mortal_store_relaxed
#define store_release mortal_store_release
#define store_racing mortal_store_racing
#define full_fence mortal_full_fence
