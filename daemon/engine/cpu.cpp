// SPDX-License-Identifier: Apache-2.0
// cpu.cpp - the engine that is always there: the codec room's SIMD, on the data thread itself or on
// workers beside it.
//
// The queue has one producer and lives in a ring: a worker takes the job at head_ by moving head_.
// A job that was cancelled leaves its place behind, and may stand in the ring twice when it is
// started again: its state says who may run it, once. What is done is a list that the data thread
// takes whole; who finds it empty wakes the data thread. Workers that have nothing to do sleep.
#include <numa.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "assert.hpp"
#include "codec/checksum.hpp"
#include "engine/engine.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {

// The canonical order of a segment's values, which preset `exact` stores as it is.
void decode(EncodeJob& job) {
  const speckv_layout& desc = job.layout->desc;
  std::byte* to = job.out.data();
  const auto value = ptrdiff_t(shm::value_bytes(desc));
  const ptrdiff_t token = value * desc.head_dim;
  const ptrdiff_t head = token * desc.block_tokens;
  const codec::SegmentOut view{{to, token, head, value},
                               {to + shm::half_segment_bytes(desc), token, head, value}};
  job.stored_checksum =
      codec::decode_segment(desc, *job.preset, job.layer, job.first, job.stored, view, false,
                            job.tables ? job.tables->data() : nullptr);
  codec::Checksum sum;
  codec::checksum_update(sum, job.out.data(), job.out.size());
  job.checksum = codec::checksum_final(sum);
  job.refusal = codec::Refusal::none;
}

// What is read may change meanwhile; what it was is what lies in out.
void copy(EncodeJob& job) {
  std::memcpy(job.out.data(), job.stored.data(), job.out.size());
  codec::Checksum sum;
  codec::checksum_update(sum, job.out.data(), job.out.size());
  job.checksum = job.stored_checksum = codec::checksum_final(sum);
  job.refusal = codec::Refusal::none;
}

}  // namespace

void encode_now(EncodeJob& job) {
  job.failed = false;
  job.retry = EncodeJob::Retry::none;
  if (job.work != Work::encode) {
    shm::release_fence();  // after the odd gen, before the first byte
    return job.work == Work::decode ? decode(job) : copy(job);
  }
  const speckv_layout& desc = job.layout->desc;
  const std::byte* source = job.raw.data();
  const auto value = ptrdiff_t(shm::value_bytes(desc));
  const ptrdiff_t token = value * desc.head_dim;
  const ptrdiff_t head = token * desc.block_tokens;
  const codec::SegmentView view{{source, token, head, value},
                                {source + shm::half_segment_bytes(desc), token, head, value}};
  const codec::ChanTable* tables = job.tables ? job.tables->data() : nullptr;
  if (job.bound_only) {
    const bool kept =
        codec::keeps_bound(desc, *job.preset, job.layer, job.first, view, job.out, tables);
    job.refusal = kept ? codec::Refusal::none : codec::Refusal::token_bound;
    return;
  }
  shm::release_fence();  // after the odd gen, before the first byte
  // The client may write its arena meanwhile.
  job.refusal = codec::encode_segment(desc, *job.preset, job.layer, job.first, view, job.out,
                                      &job.checksum, tables, codec::Input::changing);
}

namespace {

using State = EncodeJob::State;
constexpr uint32_t queued_per_worker = 4;  // one runs, the others last until a data thread turns
constexpr uint32_t inline_jobs = 1;

// Jobs complete in start().
class InlineEngine final : public Engine {
 public:
  bool start(EncodeJob* job) override {
    if (done_) return false;
    encode_now(*job);
    done_ = job;
    return true;
  }
  void reap(std::vector<EncodeJob*>* ret_completed) override {
    if (done_) ret_completed->push_back(std::exchange(done_, nullptr));
  }
  bool cancel(EncodeJob*) override { return false; }
  int wake_fd() const override { return -1; }
  uint32_t jobs_max() const override { return inline_jobs; }
  void stop() override {}
  const EngineFacts& facts() const override { return facts_; }

 private:
  EncodeJob* done_ = nullptr;
  EngineFacts facts_;
};

class WorkerEngine final : public Engine {
 public:
  WorkerEngine(uint32_t workers, int numa_node, void (*encode)(EncodeJob&))
      : jobs_max_(workers * queued_per_worker),
        ring_(jobs_max_ * 2),
        numa_node_(numa_node),
        encode_(encode) {
    facts_.workers = workers;
    wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd_ < 0)
      throw std::runtime_error("no eventfd for the encode threads: raise LimitNOFILE");
    try {
      for (uint32_t i = 0; i < workers; i++) threads_.emplace_back([this] { run(); });
    } catch (const std::system_error&) {
      const size_t started = threads_.size();
      stop();
      close(wake_fd_);
      throw std::runtime_error("only " + std::to_string(started) + " of " +
                               std::to_string(workers) +
                               " encode threads could be started: lower encode_threads, or raise "
                               "TasksMax or the user's limit of processes");
    }
  }
  ~WorkerEngine() override {
    stop();
    close(wake_fd_);
  }

  bool start(EncodeJob* job) override {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    const auto head = uint32_t(head_.load(std::memory_order_acquire));
    if (held_ == jobs_max_ || tail - head == ring_.size()) return false;
    SPECKV_ASSERT(job->state.load(std::memory_order_relaxed) == State::free,
                  "a job was started that is under way");
    job->state.store(State::queued, std::memory_order_release);
    ring_[tail % ring_.size()].store(job, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);
    tail_.notify_one();
    held_++;
    return true;
  }
  void reap(std::vector<EncodeJob*>* ret_completed) override {
    if (!done_.load(std::memory_order_relaxed)) return;
    EncodeJob* job = done_.exchange(nullptr, std::memory_order_acquire);
    while (job) {
      EncodeJob* const next = job->next;
      SPECKV_ASSERT(held_ > 0 && job->state.load(std::memory_order_relaxed) == State::running,
                    "a job was done that no worker had begun, or it was done twice");
      job->state.store(State::free, std::memory_order_relaxed);
      held_--;
      ret_completed->push_back(job);
      job = next;
    }
  }
  bool cancel(EncodeJob* job) override {
    State expected = State::queued;
    if (!job->state.compare_exchange_strong(expected, State::free, std::memory_order_relaxed))
      return false;
    SPECKV_ASSERT(held_ > 0, "more jobs were taken back than were started");
    held_--;
    return true;
  }
  int wake_fd() const override { return wake_fd_; }
  uint32_t jobs_max() const override { return jobs_max_; }
  void stop() override {
    stopping_.store(true, std::memory_order_release);
    tail_.fetch_add(1, std::memory_order_release);  // nobody starts anything any more
    tail_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  const EngineFacts& facts() const override { return facts_; }

 private:
  // A worker that dies leaves a job half done for ever: the daemon cannot be trusted any more.
  void run() noexcept {
    try {
      run_jobs();
    } catch (...) {
      SPECKV_ASSERT(false, "an encode worker died: start speckvd again, it keeps what is stored");
    }
  }
  void run_jobs() {
    pthread_setname_np(pthread_self(), "speckv-encode");
    if (numa_node_ >= 0) numa_run_on_node(numa_node_);
    for (;;) {
      uint64_t head = head_.load(std::memory_order_acquire);  // first: so it is never past the tail
      const uint32_t tail = tail_.load(std::memory_order_acquire);
      if (stopping_.load(std::memory_order_acquire)) return;
      if (uint32_t(head) == tail) {
        tail_.wait(tail, std::memory_order_acquire);
        continue;
      }
      EncodeJob* const job = ring_[uint32_t(head) % ring_.size()].load(std::memory_order_relaxed);
      if (!head_.compare_exchange_strong(head, head + 1, std::memory_order_acq_rel)) continue;
      State expected = State::queued;
      if (job->state.compare_exchange_strong(expected, State::running, std::memory_order_acquire))
        work(job);
    }
  }
  void work(EncodeJob* job) {
    facts_.busy.fetch_add(1, std::memory_order_relaxed);
    encode_(*job);
    facts_.busy.fetch_sub(1, std::memory_order_relaxed);
    EncodeJob* first = done_.load(std::memory_order_relaxed);
    do job->next = first;
    while (!done_.compare_exchange_weak(first, job, std::memory_order_release,
                                        std::memory_order_relaxed));
    const uint64_t one = 1;  // the counter is ours alone: a full one has woken the thread already
    if (!first) [[maybe_unused]]
      const ssize_t ignored = write(wake_fd_, &one, sizeof one);
  }

  const uint32_t jobs_max_;
  std::vector<std::atomic<EncodeJob*>> ring_;
  const int numa_node_;
  void (*const encode_)(EncodeJob&);
  int wake_fd_ = -1;
  uint32_t held_ = 0;  // jobs that were started and not given back
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint32_t> tail_{0};
  alignas(64) std::atomic<EncodeJob*> done_{nullptr};
  std::atomic<bool> stopping_{false};
  EngineFacts facts_;
  std::vector<std::thread> threads_;  // last: they use the rest
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(uint32_t workers, int numa_node,
                                        void (*encode)(EncodeJob&)) {
  if (workers == 0) return std::make_unique<InlineEngine>();
  return std::make_unique<WorkerEngine>(workers, numa_node, encode);
}

}  // namespace speckv
