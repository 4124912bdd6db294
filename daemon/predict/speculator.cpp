// SPDX-License-Identifier: Apache-2.0
// speculator.cpp - the four sources, and who may fetch how much. See speculator.hpp.
#include "predict/speculator.hpp"

#include <algorithm>
#include <cmath>

namespace speckv::predict {
namespace {

constexpr uint32_t kBlocksPerSession = 8;  // sessions that are remembered: one for so many blocks
constexpr uint32_t kSessionsMin = 64;
constexpr uint32_t kQueueMax = 16'384;  // blocks a source may want at once; beyond, demand does it
constexpr uint32_t kQueueMin = 64;
constexpr uint64_t kLongNs = 1'200'000'000'000;  // a silence that tells sessions apart: 20 minutes
constexpr uint64_t kPersonNs = 30'000'000'000;   // a tool answers sooner, a person later
constexpr uint64_t kSameTurnNs = 1'000'000'000;  // hits closer than this are one request
constexpr double kBurstS = 1;                    // of the guesses' bandwidth that may be saved up
constexpr float kChildMin = 0.5f;                // as far ahead as this chance lasts
constexpr uint32_t kChildDepthMax = 32;
constexpr double kChildPrior = 16;             // knowing nothing, it is as often wrong as right
constexpr double kChildWindow = 100'000;       // hits; then the past counts half
constexpr uint64_t kHintLeadNs = 500'000'000;  // what was told of is there so long before, and
constexpr double kHintSlack = 2;               // so many times what the tier takes for the chain
constexpr uint32_t kDueTurn = 8;               // chains that are looked at in one call

enum Kind : uint8_t { spoke_once, quick, person, long_away };

}  // namespace

std::string_view source_name(Source source) {
  constexpr std::array<std::string_view, kSources> names = {"chain", "hint", "child", "session"};
  return names[size_t(source)];
}

Speculator::Speculator(const SpeculatorOptions& options)
    : options_(options),
      nodes_(options.blocks_max),
      sessions_(std::max(kSessionsMin, options.blocks_max / kBlocksPerSession)),
      due_(uint32_t(sessions_.size())) {
  for (Queue& queue : queues_)
    queue.places.resize(std::clamp(options.blocks_max / 4, kQueueMin, kQueueMax));
  hazard_.horizon_s = double(options.horizon_ns) / 1e9;
  hazard_.refresh();
  for (uint32_t s = 0; s < sessions_.size(); ++s) link(s, kBins);
}

// --- who speaks

void Speculator::link(uint32_t session, uint32_t bin) {
  List& list = lists_[bin];
  Session& s = sessions_[session];
  s.bin = uint8_t(bin);
  s.hotter = kNoSession;
  s.colder = list.hottest;
  if (list.hottest != kNoSession) sessions_[list.hottest].hotter = session;
  else list.coldest = session;
  list.hottest = session;
}

void Speculator::unlink(uint32_t session) {
  Session& s = sessions_[session];
  List& list = lists_[s.bin];
  if (s.colder != kNoSession) sessions_[s.colder].hotter = s.hotter;
  else list.coldest = s.hotter;
  if (s.hotter != kNoSession) sessions_[s.hotter].colder = s.colder;
  else list.hottest = s.colder;
}

uint32_t Speculator::tip_of(const Session& session) const {
  const bool same = session.tip != kNoNode && nodes_[session.tip].used &&
                    ChainNodes::tag(nodes_[session.tip].key) == session.tip_tag;
  return same ? session.tip : kNoNode;
}

// Whose chain this is: the session that was last at its deepest stored block, unless most of what
// that session last said is not in it. Then somebody else starts from the same beginning.
uint32_t Speculator::session_of(uint32_t deepest, uint32_t chain_blocks) const {
  if (deepest == kNoNode) return kNoSession;
  const uint32_t session = nodes_[deepest].session;
  if (session == kNoSession || !sessions_[session].live) return kNoSession;
  const uint32_t tip = tip_of(sessions_[session]);
  if (tip == kNoNode) return kNoSession;
  const uint32_t least = std::min(nodes_[tip].position, chain_blocks) / 2;
  return nodes_[deepest].position >= least ? session : kNoSession;
}

// The longest silent one's record is used again.
uint32_t Speculator::new_session(uint64_t now_ns) {
  uint32_t session = lists_[kBins].coldest;
  for (uint32_t bin = kBins; session == kNoSession && bin-- > 0;) session = lists_[bin].coldest;
  unlink(session);
  due_.remove(session, [this](uint32_t s) -> uint32_t& { return sessions_[s].due_at; });
  sessions_[session] = {};
  sessions_[session].used_ns = now_ns;
  sessions_[session].live = true;
  link(session, 0);
  hazard_.on_reached(spoke_once, 0);
  return session;
}

void Speculator::speaks(uint32_t session, uint64_t now_ns) {
  Session& s = sessions_[session];
  const uint64_t silent_ns = now_ns > s.used_ns ? now_ns - s.used_ns : 0;
  if (silent_ns < kSameTurnNs) return;
  if (s.bin < kBins) {
    const uint32_t bin = ReturnHazard::bin_of(silent_ns);
    for (uint32_t b = s.bin + 1u; b <= bin; ++b) hazard_.on_reached(s.kind, b);
    hazard_.on_returned(s.kind, bin);
  }
  unlink(session);
  s.long_away = s.long_away || silent_ns >= kLongNs;
  s.kind = s.long_away ? long_away : silent_ns >= kPersonNs ? person : quick;
  s.used_ns = now_ns;
  link(session, 0);
  hazard_.on_reached(s.kind, 0);
}

// --- what happens to blocks

// The parent's most recent child is this one from now on.
void Speculator::follow(uint32_t node) {
  const uint32_t parent = nodes_.parent_of(node);
  if (parent == kNoNode) return;
  const uint32_t known = nodes_.newest_child_of(parent);
  if (known != kNoNode) {
    child_known_ += 1;
    child_right_ += known == node ? 1 : 0;
    if (child_known_ > kChildWindow) {
      child_known_ /= 2;
      child_right_ /= 2;
    }
  }
  nodes_.set_newest_child(parent, node);
}

void Speculator::on_request(std::span<const uint64_t> chain, uint64_t now_ns) {
  uint32_t deepest = kNoNode, stored = 0;
  for (; stored < chain.size(); ++stored) {
    const uint32_t node = nodes_.find(chain[stored]);
    if (node == kNoNode) break;
    deepest = node;
  }
  uint32_t session = session_of(deepest, uint32_t(chain.size()));
  if (session == kNoSession) session = new_session(now_ns);
  else speaks(session, now_ns);
  for (uint32_t at = 0; at < stored; ++at) {
    const uint32_t node = nodes_.find(chain[at]);
    nodes_[node].session = session;
    follow(node);
    if (nodes_[node].away) want(Source::chain, {node, ChainNodes::tag(chain[at]), 1, 0});
  }
  Session& s = sessions_[session];
  s.tip = deepest;
  s.tip_tag = deepest != kNoNode ? ChainNodes::tag(nodes_[deepest].key) : 0;
}

void Speculator::on_insert(uint64_t key, uint64_t parent_key, uint64_t now_ns) {
  uint32_t node = nodes_.find(key);
  if (node != kNoNode) return on_hit(key, now_ns);
  node = nodes_.make(key);
  if (node == kNoNode) return;  // more blocks than blocks_max: not predicted
  const uint32_t parent = parent_key ? nodes_.find(parent_key) : kNoNode;
  uint32_t session = kNoSession;
  if (parent != kNoNode) {
    nodes_.set_parent(node, parent);
    nodes_[node].position = nodes_[parent].position + 1;
    session = session_of(parent, UINT32_MAX);
    follow(node);
  }
  if (session == kNoSession) session = new_session(now_ns);
  nodes_[node].session = session;
  Session& s = sessions_[session];
  s.tip = node;
  s.tip_tag = ChainNodes::tag(key);
}

void Speculator::on_hit(uint64_t key, uint64_t now_ns) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode) return;
  // what many sessions begin with says nothing of the one that was there last
  const uint32_t session = session_of(node, UINT32_MAX);
  if (session != kNoSession) speaks(session, now_ns);
  follow(node);
  want_children(node);
}

// Reading on costs one step: what lies between was looked at when the block before it was read.
void Speculator::want_children(uint32_t node) {
  if (!options_.on[size_t(Source::child)]) return;
  const double right = (child_right_ + kChildPrior / 2) / (child_known_ + kChildPrior);
  const bool goes_on = walk_.depth > 0 && walk_.from == nodes_.parent_of(node) &&
                       nodes_.newest_child_of(walk_.from) == node;
  walk_ = {node, goes_on ? walk_.at : node, goes_on ? walk_.depth - 1 : 0};
  float p_use = float(std::pow(right, walk_.depth));
  while (walk_.depth < kChildDepthMax && (p_use *= float(right)) >= kChildMin) {
    const uint32_t child = nodes_.newest_child_of(walk_.at);
    if (child == kNoNode) return;
    walk_.at = child;
    ++walk_.depth;
    if (nodes_[child].away)
      want(Source::child, {child, ChainNodes::tag(nodes_[child].key), p_use, 0});
  }
}

void Speculator::on_announced(uint64_t key) {
  const uint32_t node = nodes_.find(key);
  if (node != kNoNode && nodes_[node].away && !nodes_[node].asked)
    want(Source::chain, {node, ChainNodes::tag(key), 1, 0});
}

// Fetched so much ahead that its whole chain can come up.
void Speculator::on_hint(uint64_t key, uint64_t returns_ns, uint64_t now_ns) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode || !options_.on[size_t(Source::hint)]) return;
  const uint32_t session = session_of(node, UINT32_MAX);
  if (session == kNoSession) return;
  const auto place_of = [this](uint32_t s) -> uint32_t& { return sessions_[s].due_at; };
  if (returns_ns <= now_ns) return due_.remove(session, place_of);
  Session& s = sessions_[session];
  const uint32_t before = nodes_.checked(s.told, s.told_tag);
  const bool is_told = s.due_at != DueHeap::kNone && before != kNoNode;
  if (is_told && nodes_[before].position > nodes_[node].position) return;  // it said more
  s.told = node;
  s.told_tag = ChainNodes::tag(key);
  const uint64_t lead_ns = lead_for(node);
  due_.set(session, returns_ns > lead_ns ? returns_ns - lead_ns : 0, place_of);
}

uint64_t Speculator::lead_for(uint32_t tip) const {
  const double chain_ns = kHintSlack * (nodes_[tip].position + 1) * block_ns();
  return kHintLeadNs + uint64_t(std::min(chain_ns, double(options_.horizon_ns)));
}

void Speculator::on_away(uint64_t key) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode) return;
  nodes_[node].away = true;
  nodes_[node].asked = false;
}

void Speculator::on_near(uint64_t key) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode) return;
  nodes_[node].away = false;
  nodes_[node].asked = false;
}

void Speculator::on_refused(uint64_t key) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode || !nodes_[node].asked) return;
  nodes_[node].asked = false;
  nodes_[node].unread = false;
  --gates_[nodes_[node].source].fetched;
}

void Speculator::on_gone(uint64_t key, uint64_t now_ns) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode) return;
  if (nodes_[node].unread) gates_[nodes_[node].source].on_wasted(now_ns);
  nodes_.drop(node);
}

void Speculator::on_used(uint64_t key, uint64_t now_ns) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode || !nodes_[node].unread) return;
  nodes_[node].unread = false;
  gates_[nodes_[node].source].on_used(now_ns);
}

void Speculator::on_wasted(uint64_t key, uint64_t now_ns) {
  const uint32_t node = nodes_.find(key);
  if (node == kNoNode || !nodes_[node].unread) return;
  nodes_[node].unread = false;
  gates_[nodes_[node].source].on_wasted(now_ns);
}

// --- what to bring up

bool Speculator::is_stale(const Wanted& wanted) const {
  const ChainNode& node = nodes_[wanted.node];
  return !node.used || ChainNodes::tag(node.key) != wanted.tag || !node.away || node.asked;
}

// Of a chain that was announced the first blocks are asked for first: when there are too many, the
// last ones are left to whoever asks for them.
void Speculator::want(Source source, const Wanted& wanted) {
  if (!options_.on[size_t(source)]) return;
  Queue& queue = queues_[size_t(source)];
  if (source == Source::chain && queue.full()) {
    if (!is_stale(queue.front())) return;
    ++queue.first;
  }
  queue.push(wanted);
}

// Sessions that are silent for longer now; each moves a bin at a time, so each bin sees it.
void Speculator::advance(uint64_t now_ns) {
  for (uint32_t bin = kBins; bin-- > 0;) {
    while (lists_[bin].coldest != kNoSession) {
      const uint32_t session = lists_[bin].coldest;
      const Session& s = sessions_[session];
      const uint64_t silent_ns = now_ns > s.used_ns ? now_ns - s.used_ns : 0;
      if (ReturnHazard::bin_of(silent_ns) <= bin) break;
      unlink(session);
      link(session, bin + 1);
      if (bin + 1 == kBins) continue;  // never: bin_of() ends at kBins - 1
      hazard_.on_reached(s.kind, bin + 1);
      consider(session);
    }
  }
}

// A session has just been silent for a bin longer.
void Speculator::consider(uint32_t session) {
  const Session& s = sessions_[session];
  const float p_use = hazard_.soon(s.kind, s.bin);
  if (p_use < options_.p_use_min) return;
  want_chain(Source::session, tip_of(s), p_use, uint64_t(1e9 * hazard_.wait_s(s.kind, s.bin)));
}

// Sessions that said when they will speak again, and it is nearly then.
void Speculator::look_at_due(uint64_t now_ns) {
  const auto place_of = [this](uint32_t s) -> uint32_t& { return sessions_[s].due_at; };
  for (uint32_t i = 0; i < kDueTurn && !due_.empty() && due_.first().at_ns <= now_ns; ++i) {
    const uint32_t session = due_.first().number;
    due_.remove(session, place_of);
    const uint32_t tip = nodes_.checked(sessions_[session].told, sessions_[session].told_tag);
    if (tip == kNoNode) continue;
    want_chain(Source::hint, tip, float(gates_[size_t(Source::hint)].useful_share()),
               lead_for(tip));
  }
}

// What of its chain lies below, from its last block to its first; a queue is read from its end, so
// that the first goes first.
void Speculator::want_chain(Source source, uint32_t tip, float p_use, uint64_t wait_ns) {
  if (!options_.on[size_t(source)]) return;
  Queue& queue = queues_[size_t(source)];
  while (!queue.empty() && is_stale(queue.front())) ++queue.first;
  const uint64_t end = queue.end;
  const auto wait_ms = uint32_t(std::min<uint64_t>(wait_ns / 1'000'000, UINT32_MAX));
  for (uint32_t node = tip, before = kNoNode; node != kNoNode;
       before = node, node = nodes_.parent_of(node)) {
    if (source == Source::session && before != kNoNode && nodes_.newest_child_of(node) != before) {
      queue.end = std::max(end, queue.first);  // it went on elsewhere: nobody will ask for this tip
      return;
    }
    if (!nodes_[node].away || nodes_[node].asked) continue;
    if (queue.full()) break;
    want(source, {node, ChainNodes::tag(nodes_[node].key), p_use, wait_ms});
  }
  for (uint64_t a = std::max(end, queue.first), b = queue.end; a + 1 < b; ++a) {
    --b;
    std::swap(queue.places[a % queue.places.size()], queue.places[b % queue.places.size()]);
  }
}

// A queue longer than the pool would else push out what its head is about to read.
bool Speculator::is_full() const {
  double unread = 0;
  for (const SourceGate& gate : gates_) unread += double(gate.fetched - gate.useful - gate.wasted);
  return unread * double(options_.block_bytes) >= double(options_.unread_bytes_max);
}

// The next block that this source wants and that is worth it.
bool Speculator::take(Source source, uint64_t now_ns, Proposal* ret_proposal) {
  Queue& queue = queues_[size_t(source)];
  SourceGate& gate = gates_[size_t(source)];
  while (!queue.empty()) {
    const Wanted wanted = queue.front();
    if (!gate.admits(now_ns)) {
      if (gate.is_off(now_ns)) queue.first = queue.end;  // what it wanted is stale by then
      return false;
    }
    ++queue.first;
    if (is_stale(wanted)) continue;
    ChainNode& node = nodes_[wanted.node];
    node.asked = true;
    node.unread = true;
    node.source = uint8_t(source);
    gate.on_fetched();
    *ret_proposal = {node.key, source, wanted.p_use, now_ns + uint64_t{wanted.wait_ms} * 1'000'000,
                     uint64_t(double(wanted.p_use) * block_ns())};
    return true;
  }
  return false;
}

uint32_t Speculator::propose(uint64_t now_ns, uint64_t budget_bytes,
                             std::span<Proposal> ret_proposals, bool announced_only) {
  advance(now_ns);
  look_at_due(now_ns);
  const double per_s = options_.guess_share * double(options_.tier_bytes_per_s);
  const double passed_s = double(now_ns > tokens_ns_ ? now_ns - tokens_ns_ : 0) / 1e9;
  const double burst = std::max(kBurstS * per_s, double(options_.block_bytes));
  tokens_bytes_ = std::min(burst, tokens_bytes_ + passed_s * per_s);
  tokens_ns_ = std::max(tokens_ns_, now_ns);
  uint32_t count = 0;
  for (; count < ret_proposals.size() && budget_bytes >= options_.block_bytes && !is_full();
       ++count) {
    Proposal& proposal = ret_proposals[count];
    if (!take(Source::chain, now_ns, &proposal)) {
      if (announced_only || tokens_bytes_ < double(options_.block_bytes)) break;
      if (!take(Source::hint, now_ns, &proposal) && !take(Source::child, now_ns, &proposal) &&
          !take(Source::session, now_ns, &proposal))
        break;
      tokens_bytes_ -= double(options_.block_bytes);
    }
    budget_bytes -= options_.block_bytes;
  }
  return count;
}

// Sizes differ: the bucket is charged what the block has, and a typical one is what they have
// lately.
void Speculator::on_started(Source source, uint64_t bytes) {
  if (source != Source::chain) tokens_bytes_ -= double(bytes) - double(options_.block_bytes);
  options_.block_bytes = std::max<uint64_t>(1, (7 * options_.block_bytes + bytes) / 8);
}

bool Speculator::look_next(uint64_t* ret_key) {
  if (nodes_.size() == 0) return false;
  looked_at_ = looked_at_ + 1 < nodes_.size() ? looked_at_ + 1 : 0;
  const ChainNode& node = nodes_[looked_at_];
  *ret_key = node.key;
  return node.used && node.away && !node.asked;
}

uint64_t Speculator::due_ns(uint64_t now_ns) const {
  const auto wants = [&](Source source) {
    return !queues_[size_t(source)].empty() && gates_[size_t(source)].admits(now_ns);
  };
  if (!is_full() && (wants(Source::session) || wants(Source::child) ||
                     wants(Source::hint))) {  // tokens for one block
    const double per_ns = options_.guess_share * double(options_.tier_bytes_per_s) / 1e9;
    const double short_bytes = std::max(1.0, double(options_.block_bytes) - tokens_bytes_);
    return now_ns + std::max<uint64_t>(1, uint64_t(short_bytes / per_ns));
  }
  uint64_t due = due_.empty() ? UINT64_MAX : std::max(due_.first().at_ns, now_ns + 1);
  for (uint32_t bin = 0; bin + 1 < kBins; ++bin) {
    const uint32_t session = lists_[bin].coldest;
    if (session == kNoSession) continue;
    const uint64_t at =
        sessions_[session].used_ns + uint64_t(ReturnHazard::bin_start_s(bin + 1) * 1e9);
    due = std::min(due, std::max(at, now_ns + kSameTurnNs));
  }
  return due;
}

SourceState Speculator::state(Source source, uint64_t now_ns) const {
  const SourceGate& gate = gates_[size_t(source)];
  return {gate.fetched,        gate.useful,     gate.wasted,  gate.times_off,
          gate.is_off(now_ns), gate.off_useful, gate.off_seen};
}

uint64_t Speculator::bytes() const {
  uint64_t bytes =
      sizeof *this + nodes_.bytes() + sessions_.size() * sizeof(Session) + due_.bytes();
  for (const Queue& queue : queues_) bytes += queue.places.size() * sizeof(Wanted);
  return bytes;
}

}  // namespace speckv::predict
