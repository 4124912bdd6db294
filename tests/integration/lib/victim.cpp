// SPDX-License-Identifier: Apache-2.0
#include "victim.hpp"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <ctime>

namespace speckv::test {
namespace {

constexpr size_t removed_max = 64;
constexpr int tries_max = 4000;  // of a get: a reader may miss for a moment

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000ull + uint64_t(now.tv_nsec);
}

}  // namespace

Victim::Victim(const std::string& socket_path, const char* space, Tally& tally,
               const Habits& habits)
    : client_(socket_path, space), tally_(tally), habits_(habits), random_(uint32_t(habits.seed)) {}

void Victim::run() {
  if (client_.opened() != 0) {
    tally_.failed_puts += 1'000'000;  // no siege was lost that was not held: the test says so
    return;
  }
  for (const uint32_t layers : habits_.layers)
    kinds_.push_back({client_.add_layout(small_layout(layers)),
                      Kv(small_layout(layers), Arrangement::token_major)});
  for (uint64_t number = uint64_t(getpid()) << 32; !tally_.stop; number++) {
    const Block block{number, uint32_t(random_() % kinds_.size())};
    put(block);
    if (is_kept(block)) look(block);
    if (habits_.spilled && is_kept(block) && random_() % 2) kept_.back().safe = send_down(block);
    if (kept_.size() > 1) look(kept_[random_() % kept_.size()]);
    if (habits_.spilled && client_.stats().reconnects != lives_) look_at_what_is_safe();
    if (kept_.size() > habits_.blocks_max) remove_oldest();
    if (!unsure_.empty()) {
      remove(unsure_.front());
      unsure_.pop_front();
    }
    if (!removed_.empty() && random_() % 4 == 0) look_for_ghost();
  }
}

void Victim::put(const Block& block) {
  const uint64_t begin = now_ns();
  const int result = client_.put(kinds_[block.kind].layout, block.number, kinds_[block.kind].kv);
  const uint64_t took = now_ns() - begin;
  if (result != 0) {
    tally_.unanswered += result == -ETIMEDOUT;
    tally_.failed_puts += !habits_.down;
    if (habits_.down) {
      unsure_.push_back(block);
      usleep(2000);
    }
    return;
  }
  tally_.puts++;
  tally_.put_log2[size_t(std::bit_width(took | 1) - 1)]++;
  kept_.push_back(block);
}

bool Victim::is_kept(const Block& block) const {
  return !kept_.empty() && kept_.back().number == block.number;
}

// Held meanwhile, where it may have to come from below.
int Victim::read(const Block& block) {
  Kind& kind = kinds_[block.kind];
  if (!habits_.spilled) return client_.get(kind.layout, block.number, kind.kv);
  const auto keys = keys_of(block.number, 1);
  uint8_t hit = 0;
  uint64_t hold = 0;
  const int held = speckv_hold(client_.get(), kind.layout, as_keys(keys), 1, 20 * second_ns,
                               20 * second_ns, &hit, &hold);
  if (held < 0) return held;
  const int result = held == 1 ? client_.get(kind.layout, block.number, kind.kv) : -ENOENT;
  if (held == 1) speckv_unhold(client_.get(), hold);
  return result;
}

// Returns: whether it stands below, and only there: the daemon knows it, and its index does not.
bool Victim::send_down(const Block& block) {
  const uint32_t layout = kinds_[block.kind].layout;
  const auto keys = keys_of(block.number, 1);
  const auto is_known = [&] {
    if (speckv_demote(client_.get(), layout, as_keys(keys), 1, 0) != 1) return false;
    const auto done = client_.reap(1);
    return !done.empty() && done[0].result == 0;
  };
  const uint64_t lives = client_.stats().reconnects;
  for (int tries = 0; tries < 100 && client_.stats().reconnects == lives; tries++) {
    if (!is_known() || client_.exists(layout, block.number) || !is_known()) {
      usleep(1000);
      continue;
    }
    const bool same = client_.stats().reconnects == lives;
    tally_.sent_down += same;
    return same;
  }
  return false;
}

// To be read. In the pool it may be evicted before it is written again, once its place below was
// given to newer blocks.
void Victim::came_up(uint64_t number) {
  for (Block& each : kept_)
    if (each.number == number) each.safe = false;
}

void Victim::look(const Block& block) {
  Kind& kind = kinds_[block.kind];
  int result = -ENOENT;
  for (int tries = 0; tries < tries_max && result != 0; tries++) {
    result = read(block);
    if (result == -ENOENT && (habits_.evicted || (habits_.spilled && !block.safe)) && tries > 0)
      break;
    if (result != 0) usleep(tries < 4 ? 0 : 5000);
    if (result != 0 && tally_.stop) return;
  }
  tally_.gets++;
  if (result == 0) {
    tally_.wrong += kind.kv.wrong(block.number);
    if (block.safe) came_up(block.number);
    return;
  }
  tally_.lost += habits_.spilled ? block.safe : !habits_.evicted;
  std::erase_if(kept_, [&](const Block& each) { return each.number == block.number; });
}

// In a daemon's new life: which of its deaths lost one shows at once.
void Victim::look_at_what_is_safe() {
  lives_ = client_.stats().reconnects;
  const std::deque<Block> kept = kept_;
  for (const Block& block : kept)
    if (block.safe && client_.stats().reconnects == lives_ && !tally_.stop) look(block);
}

// What was removed, and that was answered, is gone for good.
void Victim::look_for_ghost() {
  const Block block = removed_[random_() % removed_.size()];
  tally_.ghosts += read(block) == 0;
}

void Victim::remove_oldest() {
  const Block block = kept_.front();
  kept_.pop_front();
  remove(block);
}

void Victim::remove(const Block& block) {
  const auto keys = keys_of(block.number, 1);
  if (speckv_remove(client_.get(), kinds_[block.kind].layout, as_keys(keys), 1, 0) != 1) {
    if (habits_.down) unsure_.push_back(block);
    return;
  }
  const auto done = client_.reap(1);
  tally_.unanswered += done.empty();
  const int result = done.empty() ? -ETIMEDOUT : done[0].result;
  if (result != 0) {
    if (result != -ENOENT && habits_.down) unsure_.push_back(block);
    return;
  }
  tally_.removals++;
  removed_.push_back(block);
  if (removed_.size() > removed_max) removed_.pop_front();
}

}  // namespace speckv::test
