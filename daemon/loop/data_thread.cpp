// SPDX-License-Identifier: Apache-2.0
// data_thread.cpp - see data_thread.hpp. The loop itself is run().
#include "loop/data_thread.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdio>

#include "loop/clock.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr size_t mail_max = 1024;              // control tries again later beyond it
constexpr size_t completed_reserved = 8192;    // completions of one turn; more would allocate
constexpr uint64_t wait_ns_max = 50'000'000;   // the loop turns at least this often
constexpr uint64_t finish_ns = 2'000'000'000;  // for what is in the rings at a stop
constexpr int finish_turns = 1024;
}  // namespace

DataThread::DataThread(uint32_t shard, std::vector<Space> spaces, std::unique_ptr<Engine> engine)
    : shard_(shard), engine_(std::move(engine)), server_(shard, std::move(spaces), io_, *engine_) {
  completed_.reserve(completed_reserved);
  mail_.reserve(mail_max);
  opened_.reserve(mail_max);
}

DataThread::~DataThread() {
  stop();
  if (mail_fd_ >= 0) close(mail_fd_);
}

Status DataThread::start() {
  mail_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (mail_fd_ < 0) return Status::from_errno("eventfd for a data thread");
  Status status = io_.open(engine_->needs_commands());
  if (!status.ok()) return status;
  counters_.turned_ns.store(monotonic_ns(), std::memory_order_relaxed);
  thread_ = std::thread([this] { run(); });
  char name[16];
  std::snprintf(name, sizeof name, "speckv-data-%u", shard_);
  pthread_setname_np(thread_.native_handle(), name);
  return {};
}

void DataThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  poke();
  thread_.join();
}

bool DataThread::post(Mail mail) {
  if (stopping_.load(std::memory_order_acquire)) return true;  // nobody will read it, nor needs to
  {
    std::lock_guard lock(mail_lock_);
    if (mail_.size() == mail_max) return false;
    mail_.push_back(std::move(mail));
  }
  mail_came_.store(true, std::memory_order_release);
  poke();
  return true;
}

// The counter is ours alone, polled and never read: a full one has woken the thread already.
void DataThread::poke() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(mail_fd_, &one, sizeof one);
}

bool DataThread::add_session(std::shared_ptr<Session> session) {
  return post({std::move(session), 0, {}});
}
void DataThread::session_ended() {
  some_ended_.store(true, std::memory_order_release);
  poke();
}
bool DataThread::lose(uint32_t space, const LostRange& range) {
  return post({nullptr, space, range});
}

uint64_t DataThread::io_errors() const {
  return io_.errors() + served().io_failed.load(std::memory_order_relaxed);
}

void DataThread::run() {
  // Cannot fail after open(); were it to, every poll would, and the loop turns by its deadline.
  [[maybe_unused]] const Status attached = io_.attach();
  while (!stopping_.load(std::memory_order_acquire)) {
    wait(wait_ns_max);
    const uint64_t now_ns = monotonic_ns();
    counters_.turned_ns.store(now_ns, std::memory_order_relaxed);
    completed_.clear();
    io_.reap(&completed_);
    run_list();
    open_mail();
    server_.turn(now_ns);
  }
  finish();
  engine_->stop();
}

// Sleeps until a doorbell, mail or the deadline. Clients ring only while the sleeping flag is up:
// raise it, then look at the rings once more (the full fence pairs with the client's between its
// tail and its look at the flag).
void DataThread::wait(uint64_t wait_ns) {
  if (!mailbox_.under_way && io_.poll(&mailbox_, mail_fd_) != 0) mailbox_.under_way = false;
  if (engine_->wake_fd() >= 0 && !engine_wake_.under_way &&
      io_.poll(&engine_wake_, engine_->wake_fd()) != 0)
    engine_wake_.under_way = false;
  server_.set_sleeping(true);
  shm::full_fence();
  const bool awake = server_.has_work() || stopping_.load(std::memory_order_acquire) ||
                     mail_came_.load(std::memory_order_acquire) ||
                     some_ended_.load(std::memory_order_acquire);
  io_.wait(awake ? 0 : wait_ns);
  server_.set_sleeping(false);
  counters_.wakeups.fetch_add(1, std::memory_order_relaxed);
}

void DataThread::run_list() {
  for (Operation* operation : completed_)
    if (operation != &mailbox_ && operation != &engine_wake_) server_.completed(operation);
}

void DataThread::open_mail() {
  if (mail_came_.exchange(false, std::memory_order_acq_rel)) {
    {
      std::lock_guard lock(mail_lock_);
      opened_.swap(mail_);
    }
    for (Mail& letter : opened_) {
      if (letter.session) server_.admit(std::move(letter.session));
      else server_.lose(letter.space, letter.lost);
    }
    opened_.clear();
  }
  if (some_ended_.exchange(false, std::memory_order_acq_rel)) server_.dismiss_ended();
}

// What was asked before the stop is answered, as far as there is time; then the engine stops, and
// what it had not ended is not stored.
void DataThread::finish() {
  const uint64_t end_ns = monotonic_ns() + finish_ns;
  for (int i = 0; i < finish_turns; i++) {
    const uint64_t now_ns = monotonic_ns();
    if (now_ns > end_ns) return;
    if (server_.turn(now_ns)) continue;
    if (server_.under_way() == 0) return;
    io_.wait(wait_ns_max / 50);
    completed_.clear();
    io_.reap(&completed_);
    run_list();
  }
}

}  // namespace speckv
