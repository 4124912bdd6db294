// SPDX-License-Identifier: Apache-2.0
#include "src/fork.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>

namespace speckv::lib {
namespace {

using Page = std::atomic<uint32_t>;
constexpr size_t page_bytes = 4096;

std::atomic<Page*> wiped_page{nullptr};
std::atomic<uint32_t> last_number{0};  // copied by fork: the child takes a larger one

int map_page() {
  void* map = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return -errno;
  if (madvise(map, page_bytes, MADV_WIPEONFORK) != 0) {
    const int error = errno;
    munmap(map, page_bytes);
    return -error;
  }
  Page* none = nullptr;
  if (!wiped_page.compare_exchange_strong(none, static_cast<Page*>(map))) munmap(map, page_bytes);
  return 0;
}

}  // namespace

uint32_t fork_number() {
  const Page* page = wiped_page.load(std::memory_order_acquire);
  return page ? page->load(std::memory_order_relaxed) : 0;
}

int fork_number_take(uint32_t* ret_number) {
  if (!wiped_page.load(std::memory_order_acquire)) {
    const int result = map_page();
    if (result != 0) return result;
  }
  Page& page = *wiped_page.load(std::memory_order_acquire);
  uint32_t number = page.load();
  if (number == 0) {
    const uint32_t mine = last_number.fetch_add(1) + 1;
    if (page.compare_exchange_strong(number, mine)) number = mine;
  }
  *ret_number = number;
  return 0;
}

}  // namespace speckv::lib
