// SPDX-License-Identifier: Apache-2.0
// kill_points.hpp - the daemon may die after any store to the pool: the simulation compiles the
// journey and the slab pool with this header in front (CMakeLists.txt), so that each store and each
// fence of theirs counts, and the one that was chosen throws.
//
// Product code knows nothing of it. Never included by hand.
#pragma once

#include "kill_switch.hpp"
#include "shm/atomics.hpp"

namespace speckv::sim {

inline void store_done() {
  if (stores_to_live && --stores_to_live == 0) throw Killed{};
}

}  // namespace speckv::sim

namespace speckv::shm {

template <typename T>
void mortal_store_relaxed(T& field, std::type_identity_t<T> value) {
  store_relaxed(field, value);
  sim::store_done();
}
template <typename T>
void mortal_store_release(T& field, std::type_identity_t<T> value) {
  store_release(field, value);
  sim::store_done();
}
template <typename T>
void mortal_store_racing(T* to, const T& from) {
  store_racing(to, from);
  sim::store_done();
}
inline void mortal_full_fence() {
  full_fence();
  sim::store_done();
}

}  // namespace speckv::shm

#define store_relaxed mortal_store_relaxed
#define store_release mortal_store_release
#define store_racing mortal_store_racing
#define full_fence mortal_full_fence
