// SPDX-License-Identifier: Apache-2.0
// under_way.cpp - a put that may wait: how its record enters and leaves each state. README.md has
// the table of what happens in which state.
//
//   take_up     free -> encoding: a record, a block number, all slots
//   start_next  a layer's job, or one that was refused, goes to the engine
//   completed   a job came back: its layer is in the slot, or wants another slot, or the put fails
//   fail        encoding -> failing: what has not begun is taken back, what runs is waited for
//   finish      published, or undone; then free_record
#include <algorithm>
#include <functional>

#include "assert.hpp"
#include "journey/shard.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
// Whether the block's first page may be its sequence's first, whose keys a coarse codec hurts most
// and which therefore has a codec of its own. A connector that tells neither position nor parent is
// given the benefit of the doubt.
bool may_open_sequence(const shm::Submission& submission) {
  if (submission.position != SPECKV_POSITION_UNKNOWN) return submission.position == 0;
  return submission.parent == Key{};
}
}  // namespace

int Shard::take_up(const PutAsked& asked, uint64_t now_ns, Put** ret_put) {
  *ret_put = nullptr;
  SPECKV_DEBUG_ASSERT(!is_under_way(asked.submission.key), "two puts of one key are under way");
  shm::Entry known;
  uint32_t replaces = no_block;
  if (index_.find(asked.submission.key, hash_key(asked.submission.key), &known)) {
    if (asked.layout->widths->takes(known.fingerprint)) {
      counters_.puts_existed.fetch_add(1, std::memory_order_relaxed);
      put_again(known.block, now_ns);
      return 0;
    }
    if (pinned_[known.block]) return -EBUSY;
    replaces = known.block;  // those bytes are of no use to this layout
  }
  const bool all_stuck = std::all_of(under_way_.begin(), under_way_.end(),
                                     [](const Put* put) { return put->answered; });
  if (free_records_.empty()) {
    if (!all_stuck) return -EAGAIN;
    counters_.puts_failed.fetch_add(1, std::memory_order_relaxed);
    return -EIO;  // the engine has all of them and answers no more
  }
  Put& put = *free_records_.back();
  SPECKV_ASSERT(put.state == PutState::free && put.placed == 0,
                "a record of a put under way was listed as free");
  static_cast<PutAsked&>(put) = asked;
  put.now_ns = put.progress_ns = now_ns;
  put.opens_sequence = may_open_sequence(asked.submission);
  put.replaces = replaces;
  const int error = allocate(put);
  if (error) {
    put.owner.reset();
    const bool fits = fits_shard(*asked.layout, slabs_.usable_units());
    if (error == -ENOSPC && fits && !all_stuck) return -EAGAIN;  // their slots may be the room
    counters_.puts_failed.fetch_add(1, std::memory_order_relaxed);
    return error;
  }
  put.state = PutState::encoding;
  free_records_.pop_back();
  under_way_.push_back(&put);
  *ret_put = &put;
  return 0;
}

bool Shard::is_under_way(const Key& key) const {
  return std::any_of(under_way_.begin(), under_way_.end(), [&key](const Put* put) {
    return !put->answered && put->submission.key == key;
  });
}

bool Shard::has_job_to_start(const Put& put) const {
  if (put.state != PutState::encoding) return false;
  return put.ready || (put.next_layer < put.segments() && put.jobs_in_engine < put_jobs_max);
}

// A prepared one, or that of the next layer.
SegmentJob* Shard::next_job(Put& put) {
  if (put.ready) {
    auto* job = static_cast<SegmentJob*>(put.ready);
    put.ready = job->next;
    return job;
  }
  // Fewer than put_jobs_max are in the engine and none is ready: one is unused.
  for (SegmentJob& job : put.jobs) {
    if (job.in_engine) continue;
    job.put = &put;
    job.layer = put.next_layer++;
    job.by_cpu = false;
    job.as = put.layout->preset_id == SPECKV_PRESET_EXACT ? StoredAs::raw : StoredAs::preset;
    return &job;
  }
  SPECKV_ASSERT(false, "a put has more jobs under way than it has");
  return nullptr;
}

void Shard::keep_ready(Put& put, SegmentJob& job) {
  job.next = put.ready;
  put.ready = &job;
}

bool Shard::start_next(Put& put, uint64_t now_ns) {
  SPECKV_ASSERT(has_job_to_start(put), "a put was asked for a job that it does not have");
  SegmentJob* job = next_job(put);
  prepare(put, *job);
  put.engine_was_full = !options_.engine->start(job);
  if (put.engine_was_full) {
    keep_ready(put, *job);
    return false;
  }
  job->in_engine = true;
  put.jobs_in_engine++;
  put.progress_ns = now_ns;
  return true;
}

bool Shard::completed(EncodeJob* answer, uint64_t now_ns, Put** ret_put) {
  *ret_put = nullptr;
  if (near_completed(answer)) return true;
  const std::less<const void*> before;
  if (before(answer, records_.data()) || !before(answer, records_.data() + records_.size()))
    return false;
  auto& job = static_cast<SegmentJob&>(*answer);
  if (!job.in_engine) return false;
  Put& put = *job.put;
  *ret_put = &put;
  SPECKV_ASSERT(put.state != PutState::free && put.jobs_in_engine > 0,
                "a job came back to a put that has none in the engine");
  job.in_engine = false;
  put.jobs_in_engine--;
  put.progress_ns = now_ns;
  const bool wants_again = is_to_be_done_again(put, job);
  if (put.state != PutState::encoding) return true;
  if (wants_again) begin_again(put, job);
  else if (job.failed) fail(put, -EIO);
  else if (encoded(put, job)) put.encoded++;
  else if (const int error = other_slot_for(put, job)) fail(put, error);
  else keep_ready(put, job);
  return true;
}

bool Shard::is_over(const Put& put) const {
  if (put.jobs_in_engine) return false;
  return put.state == PutState::failing || put.encoded == put.segments();
}

void Shard::fail(Put& put, int error) {
  if (put.state != PutState::encoding) return;
  SPECKV_ASSERT(error < 0, "a put failed without an error to answer");
  put.state = PutState::failing;
  put.error = error;
  put.ready = nullptr;
  for (SegmentJob& job : put.jobs) {
    if (!job.in_engine || !options_.engine->cancel(&job)) continue;
    job.in_engine = false;
    put.jobs_in_engine--;
  }
}

StoredFacts Shard::facts_of(const Put& put) {
  return {put.submission.key,
          put.submission.parent,
          put.widths->fingerprint,
          put.layout->identity,
          put.layout->block_bytes,
          put.submission.position,
          put.layout->desc.block_tokens,
          put.segments(),
          uint16_t(put.layout->preset_id),
          put.submission.kind};
}

int Shard::finish(Put& put, uint64_t now_ns) {
  SPECKV_ASSERT(is_over(put), "a put was finished that the engine still works on");
  if (put.state == PutState::encoding) put.error = place_in_index(put, now_ns);
  if (put.error) {
    undo(put);
  } else {
    write(put, facts_of(put), put.now_ns);
    count_use(put.block, put.now_ns);
    supersede(put.block);
    counters_.put_raw_bytes.fetch_add(blocks_[put.block].raw_bytes, std::memory_order_relaxed);
    counters_.put_stored_bytes.fetch_add(blocks_[put.block].stored_bytes,
                                         std::memory_order_relaxed);
    measure(put);
  }
  (put.error ? counters_.puts_failed : counters_.puts).fetch_add(1, std::memory_order_relaxed);
  return put.error;
}

void Shard::free_record(Put& put) {
  SPECKV_ASSERT(put.state != PutState::free && put.jobs_in_engine == 0,
                "a record was freed twice, or while the engine works for it");
  std::erase(under_way_, &put);
  static_cast<PutAsked&>(put) = PutAsked{};
  put.state = PutState::free;
  put.error = 0;
  put.answered = put.engine_was_full = false;
  put.next_layer = put.encoded = 0;
  put.ready = nullptr;
  put.next = nullptr;
  put.segments_refused = put.segments_bounded = put.placed = 0;
  free_records_.push_back(&put);
}

int Shard::put(const shm::Submission& submission, const Layout& layout, const Widths& widths,
               std::span<const std::byte> arena, uint64_t now_ns, bool* ret_existed) {
  Put* record = nullptr;
  const int error =
      take_up({submission, &layout, &widths, arena, nullptr, nullptr}, now_ns, &record);
  *ret_existed = !error && !record;
  if (!record) return error;
  while (!is_over(*record)) {
    if (has_job_to_start(*record) && !start_next(*record, now_ns))
      fail(*record, -EIO);  // an engine that is full with one job does not complete in start()
    reaped_.clear();
    options_.engine->reap(&reaped_);
    Put* same = nullptr;
    for (EncodeJob* job : reaped_) completed(job, now_ns, &same);
  }
  const int result = finish(*record, now_ns);
  free_record(*record);
  return result;
}

}  // namespace speckv
