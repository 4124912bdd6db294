// SPDX-License-Identifier: Apache-2.0
// bus_guard.cpp - see bus_guard.hpp.
#include "pool/bus_guard.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace speckv::pool {
namespace {

constexpr size_t guards_max = 128;  // namespaces_max, and as many in tests
std::atomic<BusGuard*> guards[guards_max];

}  // namespace

struct BusHandler {
  // Async-signal-safe: atomics and two system calls.
  static void handle(int signal, siginfo_t* info, void*) {
    const int saved = errno;
    const bool answered = BusGuard::answer(reinterpret_cast<uintptr_t>(info->si_addr));
    errno = saved;
    if (answered) return;
    struct sigaction fatal {};
    fatal.sa_handler = SIG_DFL;
    sigaction(signal, &fatal, nullptr);  // the access is made again, and ends the process
  }

  static Status install() {
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, nullptr) != 0) return Status::from_errno("sigaction(SIGBUS)");
    return {};
  }
};

bool BusGuard::answer(uintptr_t address) {
  for (const std::atomic<BusGuard*>& entry : guards) {
    const BusGuard* guard = entry.load(std::memory_order_acquire);
    if (!guard || address < guard->begin_ || address >= guard->end_) continue;
    const uint64_t granule = (address - guard->begin_) / guard->granule_bytes_;
    const uintptr_t first = guard->begin_ + granule * guard->granule_bytes_;
    void* zeros =
        mmap(reinterpret_cast<void*>(first), guard->granule_bytes_, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) return false;
    guard->lost_[granule / 64].fetch_or(1ull << (granule % 64), std::memory_order_release);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = write(guard->wake_fd_, &one, sizeof one);
    return true;
  }
  return false;
}

Result<std::unique_ptr<BusGuard>> BusGuard::make(std::byte* data, uint64_t bytes,
                                                 uint64_t granule_bytes, int wake_fd) {
  static const Status installed = BusHandler::install();
  if (!installed.ok()) return installed;
  std::unique_ptr<BusGuard> guard(new BusGuard);
  guard->begin_ = reinterpret_cast<uintptr_t>(data);
  guard->end_ = guard->begin_ + bytes;
  guard->granule_bytes_ = granule_bytes;
  guard->wake_fd_ = wake_fd;
  guard->words_ = (bytes / granule_bytes + 63) / 64 + 1;
  guard->lost_ = std::make_unique<std::atomic<uint64_t>[]>(guard->words_);
  for (std::atomic<BusGuard*>& entry : guards) {
    BusGuard* none = nullptr;
    if (entry.compare_exchange_strong(none, guard.get())) return guard;
  }
  guard->begin_ = guard->end_ = 0;
  return Status(EMFILE, "more than " + std::to_string(guards_max) + " mappings of devices");
}

BusGuard::~BusGuard() {
  for (std::atomic<BusGuard*>& entry : guards) {
    BusGuard* self = this;
    if (entry.compare_exchange_strong(self, nullptr)) return;
  }
}

std::vector<LostRange> BusGuard::take_lost() {
  std::vector<LostRange> ranges;
  for (size_t word = 0; word < words_; word++) {
    uint64_t bits = lost_[word].exchange(0, std::memory_order_acquire);
    for (; bits; bits &= bits - 1) {
      const uint64_t granule = word * 64 + uint64_t(__builtin_ctzll(bits));
      ranges.push_back({granule * granule_bytes_, granule_bytes_});
    }
  }
  return ranges;
}

}  // namespace speckv::pool
