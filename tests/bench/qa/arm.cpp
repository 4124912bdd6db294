// SPDX-License-Identifier: Apache-2.0
// arm.cpp - see arm.hpp.
#include "arm.hpp"

#include <algorithm>
#include <chrono>

#include "workload.hpp"

namespace speckv::qa {

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// One token at least is computed: its logits choose the answer's first.
uint32_t reusable(const Tokens& kept, const Tokens& prompt) {
  return std::min(common_prefix(kept, prompt), uint32_t(prompt.size() - 1));
}

}  // namespace

uint32_t common_prefix(const Tokens& a, const Tokens& b) {
  const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return uint32_t(ends.first - a.begin());
}

Outcome Arm::serve(uint32_t session, const Tokens& prompt, uint32_t answer_tokens) {
  Outcome outcome;
  const Clock::time_point start = Clock::now();
  outcome.reused = restore(session, prompt);
  outcome.answer = answer(context(), sequence(session), prompt, outcome.reused, answer_tokens,
                          [&] { outcome.ttft_ms = ms_since(start); });
  Tokens known = prompt;
  known.insert(known.end(), outcome.answer.begin(), outcome.answer.end() - 1);
  keep(session, known, outcome.reused);
  outcome.total_ms = ms_since(start);
  return outcome;
}

uint32_t Alone::restore(uint32_t session, const Tokens& prompt) {
  context_.clear();
  return 0;
}

uint32_t HostCache::restore(uint32_t session, const Tokens& prompt) {
  context_.clear();
  auto best = states_.end();
  uint32_t known = 0;
  for (auto state = states_.begin(); state != states_.end(); ++state) {
    const uint32_t common = reusable(state->tokens, prompt);
    if (common > known) {
      known = common;
      best = state;
    }
  }
  if (best == states_.end()) return 0;
  states_.splice(states_.begin(), states_, best);
  std::string why;
  const std::span<const std::byte> blob(best->blob.get(), best->bytes);
  if (!llama::restore_tokens(context_.get(), blob, 0, known, &why)) throw Failure(why);
  return known;
}

void HostCache::drop(std::list<State>::iterator state) {
  used_bytes_ -= state->bytes;
  states_.erase(state);
}

void HostCache::keep(uint32_t session, const Tokens& tokens, uint32_t reused) {
  // states that the new one contains are of no more use
  for (auto state = states_.begin(); state != states_.end();) {
    const auto next = std::next(state);
    if (common_prefix(state->tokens, tokens) == state->tokens.size()) drop(state);
    state = next;
  }
  const uint64_t bytes = llama::state_bytes(shape_, uint32_t(tokens.size()));
  if (bytes > budget_bytes_) return;
  while (used_bytes_ + bytes > budget_bytes_) drop(std::prev(states_.end()));
  State state{tokens, std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
  llama::StateMap map;
  std::string why;
  if (!llama::save_tokens(context_.get(), shape_, 0, -1, 0, uint32_t(tokens.size()),
                          {state.blob.get(), bytes}, &map, &why, llama::Moved::no)) {
    throw Failure(why);
  }
  used_bytes_ += bytes;
  states_.push_front(std::move(state));
}

Holding HostCache::holding() const { return {used_bytes_, used_bytes_}; }

void Resident::adopt(uint32_t session, const Tokens& document, Context& computed) {
  const uint32_t count = uint32_t(document.size());
  std::vector<std::byte> from(llama::state_bytes(shape_, count));
  llama::StateShape ours = shape_;
  ours.streams = uint32_t(tokens_.size());
  std::vector<std::byte> to(llama::state_bytes(ours, count));
  llama::StateMap from_map, to_map;
  std::string why;
  if (!llama::save_tokens(computed.get(), shape_, 0, -1, 0, count, from, &from_map, &why,
                          llama::Moved::no) ||
      !llama::lay_out_state(ours, 0, count, to, &to_map, &why)) {
    throw Failure(why);
  }
  llama::copy_tokens(from_map, 0, to_map, 0, count);
  if (!llama::restore_tokens(context_.get(), to, sequence(session), count, &why)) {
    throw Failure(why);
  }
  tokens_[session] = document;
}

uint32_t Resident::restore(uint32_t session, const Tokens& prompt) {
  const uint32_t known = reusable(tokens_[session], prompt);
  context_.cut(sequence(session), known);
  return known;
}

void Resident::keep(uint32_t session, const Tokens& tokens, uint32_t reused) {
  tokens_[session] = tokens;
}

Holding Resident::holding() const {
  Holding all;
  for (const Tokens& tokens : tokens_) {
    all.raw_bytes += llama::state_bytes(shape_, uint32_t(tokens.size()));
  }
  all.stored_bytes = all.raw_bytes;
  return all;
}

}  // namespace speckv::qa
