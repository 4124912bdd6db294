// SPDX-License-Identifier: Apache-2.0
// atomics.hpp - the few memory orders that the shared formats use, on plain fields of mapped
// structs.
//
// Mapped memory is written by another process; every access that can race goes through these, so
// that the compiler keeps it whole and ThreadSanitizer knows that it is meant.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace speckv::shm {

template <typename T>
T load_relaxed(const T& field) {
  return std::atomic_ref<T>(const_cast<T&>(field)).load(std::memory_order_relaxed);
}
template <typename T>
T load_acquire(const T& field) {
  return std::atomic_ref<T>(const_cast<T&>(field)).load(std::memory_order_acquire);
}
template <typename T>
void store_relaxed(T& field, std::type_identity_t<T> value) {
  std::atomic_ref<T>(field).store(value, std::memory_order_relaxed);
}
template <typename T>
void store_release(T& field, std::type_identity_t<T> value) {
  std::atomic_ref<T>(field).store(value, std::memory_order_release);
}
inline void full_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
inline void acquire_fence() { std::atomic_thread_fence(std::memory_order_acquire); }
inline void release_fence() { std::atomic_thread_fence(std::memory_order_release); }

// In a loop that waits for another core.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A 64-bit word of a struct that has other members: the compiler must not think that they are
// unrelated.
using AliasedWord [[gnu::may_alias]] = uint64_t;

// Copies whole 64-bit words with relaxed atomics: for structs that a writer may change meanwhile.
template <typename T>
void copy_racing(T* to, const T& from) {
  static_assert(sizeof(T) % 8 == 0 && std::is_trivially_copyable_v<T>);
  const AliasedWord* source = reinterpret_cast<const AliasedWord*>(&from);
  AliasedWord* target = reinterpret_cast<AliasedWord*>(to);
  for (size_t i = 0; i < sizeof(T) / 8; i++)
    target[i] = __atomic_load_n(source + i, __ATOMIC_RELAXED);
}
template <typename T>
void store_racing(T* to, const T& from) {
  static_assert(sizeof(T) % 8 == 0 && std::is_trivially_copyable_v<T>);
  const AliasedWord* source = reinterpret_cast<const AliasedWord*>(&from);
  AliasedWord* target = reinterpret_cast<AliasedWord*>(to);
  for (size_t i = 0; i < sizeof(T) / 8; i++)
    __atomic_store_n(target + i, source[i], __ATOMIC_RELAXED);
}

}  // namespace speckv::shm
