// SPDX-License-Identifier: Apache-2.0
// slot_tokens.cpp - see slot_tokens.hpp.
#include "slot_tokens.hpp"

#include <algorithm>

namespace speckv::llama_server {

namespace {
// llama_decode() found no room and changed nothing: the server asks again with less.
constexpr int32_t kNoRoom = 1;
}  // namespace

SlotTokens& SlotTokens::get() {
  static SlotTokens tokens;
  return tokens;
}

void SlotTokens::decoded(llama_memory_t memory, const llama_batch& batch, int32_t result) {
  if (result == kNoRoom) return;
  const std::lock_guard hold(lock_);
  for (int32_t i = 0; i < batch.n_tokens; i++) {
    const int32_t sequences = batch.seq_id ? batch.n_seq_id[i] : 1;
    for (int32_t k = 0; k < sequences; k++) {
      const llama_seq_id seq = batch.seq_id ? batch.seq_id[i][k] : 0;
      const auto held = llama_pos(known_[{memory, seq}].size());
      const llama_pos pos = batch.pos ? batch.pos[i] : held;
      if (result == 0 && batch.token) append(memory, seq, pos, batch.token[i]);
      else cut(memory, seq, pos);
    }
  }
}

// A token behind a gap is of no use: what is known is a beginning.
void SlotTokens::append(llama_memory_t memory, llama_seq_id seq, llama_pos pos, llama_token token) {
  std::vector<llama_token>& held = known_[{memory, seq}];
  if (pos < llama_pos(held.size())) held.resize(size_t(std::max(pos, 0)));
  if (pos == llama_pos(held.size())) held.push_back(token);
}

void SlotTokens::cut(llama_memory_t memory, llama_seq_id seq, llama_pos first) {
  for (auto& [whose, held] : known_)
    if (whose.first == memory && (seq < 0 || whose.second == seq))
      held.resize(std::min(held.size(), size_t(std::max(first, 0))));
}

void SlotTokens::removed(llama_memory_t memory, llama_seq_id seq, llama_pos first, llama_pos last) {
  if (last >= 0 && last <= std::max(first, 0)) return;  // nothing
  const std::lock_guard hold(lock_);
  cut(memory, seq, first);
}

void SlotTokens::lost(llama_memory_t memory, llama_seq_id seq, llama_pos first) {
  const std::lock_guard hold(lock_);
  cut(memory, seq, first);
}

void SlotTokens::copied(llama_memory_t memory, llama_seq_id from, llama_seq_id to, llama_pos first,
                        llama_pos last) {
  if (from == to) return;
  const std::lock_guard hold(lock_);
  const std::vector<llama_token> source = known_[{memory, from}];
  std::vector<llama_token>& target = known_[{memory, to}];
  const size_t begin = size_t(std::max(first, 0));
  target.resize(std::min(target.size(), begin));
  if (target.size() < begin) return;
  const size_t end = last < 0 ? source.size() : std::min(source.size(), size_t(last));
  for (size_t i = begin; i < end; i++) target.push_back(source[i]);
}

void SlotTokens::kept_only(llama_memory_t memory, llama_seq_id seq) {
  const std::lock_guard hold(lock_);
  std::erase_if(known_, [&](const auto& each) {
    return each.first.first == memory && each.first.second != seq;
  });
}

void SlotTokens::set(llama_memory_t memory, llama_seq_id seq, std::vector<llama_token> tokens) {
  const std::lock_guard hold(lock_);
  known_[{memory, seq}] = std::move(tokens);
}

size_t SlotTokens::longest_but(llama_seq_id but, llama_memory_t memory,
                               const std::vector<llama_token>& wanted, llama_seq_id* ret_seq) {
  const std::lock_guard hold(lock_);
  size_t most = 0;
  for (const auto& [whose, held] : known_) {
    if (whose.first != memory || whose.second == but) continue;
    const auto end = held.begin() + ptrdiff_t(std::min(held.size(), wanted.size()));
    const auto same = size_t(std::mismatch(held.begin(), end, wanted.begin()).first - held.begin());
    if (same <= most) continue;
    most = same;
    *ret_seq = whose.second;
  }
  return most;
}

}  // namespace speckv::llama_server
