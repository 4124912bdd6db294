// SPDX-License-Identifier: Apache-2.0
// data_thread.cpp - see data_thread.hpp. The loop itself is run(); what a submission means is
// serve().
#include "loop/data_thread.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdio>

#include "loop/clock.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr unsigned ring_entries = 256;  // doorbell reads of sessions, and the mailbox
constexpr size_t mail_max = 1024;       // control waits for room beyond it
constexpr int served_per_turn = 4;      // submissions of one session before the next has its turn
constexpr int turns_max = 16;  // over the rings, before mail and doorbells are looked at again
constexpr uint64_t tick_ns = 20'000'000;         // touches, holds and limbo need no finer clock
constexpr long wait_ns_max = 50'000'000;         // the loop turns at least this often
constexpr uint64_t mail_user_data = UINT64_MAX;  // session ids are below it
}  // namespace

DataThread::DataThread(uint32_t shard, std::vector<Space> spaces, std::unique_ptr<Engine> engine)
    : shard_(shard), spaces_(std::move(spaces)), engine_(std::move(engine)) {
  reaped_.reserve(ring_entries * 2);
  mail_.reserve(mail_max);
}

DataThread::~DataThread() {
  stop();
  if (ring_ready_) io_uring_queue_exit(&ring_);
  if (mail_fd_ >= 0) close(mail_fd_);
}

Status DataThread::start() {
  mail_fd_ = eventfd(0, EFD_CLOEXEC);
  if (mail_fd_ < 0) return Status::from_errno("eventfd for a data thread");
  const int error = io_uring_queue_init(ring_entries, &ring_, 0);
  if (error)
    return {-error, "io_uring_queue_init: " + std::string(std::strerror(-error)) +
                        ": this kernel or its seccomp filter has no io_uring; speckvd needs it"};
  ring_ready_ = true;
  thread_ = std::thread([this] { run(); });
  char name[16];
  std::snprintf(name, sizeof name, "speckv-data-%u", shard_);
  pthread_setname_np(thread_.native_handle(), name);
  return {};
}

void DataThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(mail_fd_, &one, sizeof one);
  thread_.join();
}

bool DataThread::post(Mail mail) {
  if (stopping_.load(std::memory_order_acquire)) return true;  // nobody will read it, nor needs to
  {
    std::lock_guard lock(mail_lock_);
    if (mail_.size() == mail_max) return false;
    mail_.push_back(std::move(mail));
  }
  const uint64_t one = 1;
  return write(mail_fd_, &one, sizeof one) == sizeof one;
}

bool DataThread::add_session(std::shared_ptr<Session> session) {
  return post({std::move(session), true, 0, {}});
}
bool DataThread::remove_session(std::shared_ptr<Session> session) {
  return post({std::move(session), false, 0, {}});
}
void DataThread::lose(uint32_t space, const LostRange& range) {
  while (!post({nullptr, false, space, range})) std::this_thread::yield();
}

void DataThread::run() {
  while (!stopping_.load(std::memory_order_acquire)) {
    wait();
    now_ns_ = monotonic_ns();
    reap();
    run_list();
    for (int turn = 0; turn < turns_max && serve_rings(); turn++) now_ns_ = monotonic_ns();
    tick();
  }
  for (int turn = 0; turn < 1024 && serve_rings(); turn++) {
  }  // what was asked before the stop is answered
}

// Sleeps until a doorbell, mail or the deadline. Clients ring only while the sleeping flag is up:
// raise it, then look at the rings once more (the full fence pairs with the client's between its
// tail and its look at the flag).
void DataThread::wait() {
  if (!mail_armed_) {
    arm(mail_fd_, &mail_count_, mail_user_data);
    mail_armed_ = true;
  }
  for (auto& [id, client] : clients_)
    if (!client.armed && !client.leaving) {
      arm(client.session->doorbell(shard_), &client.doorbell, id);
      client.armed = true;
    }
  set_sleeping(true);
  shm::full_fence();
  __kernel_timespec deadline{0, anything_to_do() ? 0 : wait_ns_max};
  io_uring_cqe* first = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &first, 1, &deadline, nullptr);
  set_sleeping(false);
  counters_.wakeups.fetch_add(1, std::memory_order_relaxed);
}

void DataThread::arm(int fd, uint64_t* into, uint64_t user_data) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (!sqe) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  io_uring_prep_read(sqe, fd, into, sizeof *into, 0);
  io_uring_sqe_set_data64(sqe, user_data);
}

void DataThread::set_sleeping(bool sleeping) {
  for (Space& space : spaces_) shm::store_relaxed(space.index->shard_sleeping[shard_], sleeping);
}

bool DataThread::anything_to_do() const {
  if (stopping_.load(std::memory_order_acquire)) return true;
  for (const auto& [id, client] : clients_)
    if (!client.leaving && client.session->has_submissions(shard_)) return true;
  return false;
}

void DataThread::reap() {
  reaped_.clear();
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
    reaped_.push_back(io_uring_cqe_get_data64(cqe));
    io_uring_cqe_seen(&ring_, cqe);
  }
}

void DataThread::run_list() {
  for (uint64_t user_data : reaped_) {
    if (user_data == mail_user_data) {
      mail_armed_ = false;
      open_mail();
      continue;
    }
    const auto found = clients_.find(user_data);
    if (found == clients_.end()) continue;
    found->second.armed = false;
    if (found->second.leaving) clients_.erase(found);
  }
}

void DataThread::open_mail() {
  std::vector<Mail> mail;
  {
    std::lock_guard lock(mail_lock_);
    mail.swap(mail_);
    mail_.reserve(mail_max);
  }
  for (Mail& letter : mail) {
    if (!letter.session) spaces_[letter.space].shard->lose(letter.lost.offset, letter.lost.bytes);
    else if (letter.add) admit(std::move(letter.session));
    else dismiss(letter.session->identity().id);
  }
}

void DataThread::admit(std::shared_ptr<Session> session) {
  const uint64_t id = session->identity().id;
  const uint32_t space = session->identity().space;
  clients_[id].session = std::move(session);
  rebuild_guards(space);
}

void DataThread::dismiss(uint64_t session_id) {
  const auto found = clients_.find(session_id);
  if (found == clients_.end()) return;
  Client& client = found->second;
  const uint32_t space = client.session->identity().space;
  client.leaving = true;
  spaces_[space].shard->session_ended(session_id);
  rebuild_guards(space);
  if (!client.armed) {
    clients_.erase(found);
    return;
  }
  const uint64_t one = 1;  // its doorbell read must end before its memory may go
  [[maybe_unused]] const ssize_t ignored =
      write(client.session->doorbell(shard_), &one, sizeof one);
}

void DataThread::rebuild_guards(uint32_t space) {
  std::vector<const shm::GuardSlot*> guards;
  for (auto& [id, client] : clients_)
    if (!client.leaving && client.session->identity().space == space)
      guards.push_back(client.session->guards());
  spaces_[space].shard->set_guards(std::move(guards));
}

bool DataThread::serve_rings() {
  bool served = false;
  for (auto& [id, client] : clients_) {
    if (client.leaving) continue;
    for (int i = 0; i < served_per_turn && serve_one(client); i++) served = true;
    client.session->notify(shard_);
  }
  return served;
}

bool DataThread::serve_one(Client& client) {
  shm::Submission submission;
  if (!client.session->take(shard_, &submission)) return false;
  counters_.submissions.fetch_add(1, std::memory_order_relaxed);
  uint32_t flags = 0;
  const int result = serve(client, submission, &flags);
  if (result == -EBADF || result == -EINVAL || result == -ERANGE)
    counters_.rejected.fetch_add(1, std::memory_order_relaxed);
  client.session->complete(shard_, {submission.user_data, result, flags});
  return true;
}

int DataThread::serve(Client& client, shm::Submission submission, uint32_t* ret_flags) {
  Session& session = *client.session;
  Shard& shard = *spaces_[session.identity().space].shard;
  const Asker asker{session.identity().id, session.identity().uid};
  const auto op = shm::Op(submission.op);
  if (op == shm::Op::unhold) return shard.unhold(submission.hold, asker);
  if (op == shm::Op::adopt) return shard.adopt(submission.hold, asker);

  const auto [layout, widths] = session.layout(submission.layout);
  if (!layout) return -EBADF;
  submission.key = masked(submission.key, layout->mask);
  submission.parent = masked_parent(submission.parent, layout->mask);
  switch (op) {
    case shm::Op::put: {
      const std::span<const std::byte> arena =
          session.arena(submission.arena_offset, layout->block_bytes);
      if (arena.empty()) return -ERANGE;
      session.drain_touches(shard_, [&](uint32_t block) { shard.touch(block, now_ns_); });
      bool existed = false;
      const int result = shard.put(submission, *layout, *widths, arena, now_ns_, &existed);
      if (existed) *ret_flags |= shm::completion_existed;
      if (widths != &layout->widths->current()) *ret_flags |= shm::completion_new_widths;
      return result;
    }
    case shm::Op::remove:
      return shard.remove(submission.key, *layout);
    case shm::Op::hold:
      return shard.hold(submission, *layout, asker, now_ns_);
    case shm::Op::touch:
      shard.touch_key(submission.key, *layout, now_ns_);
      return 0;
    default:
      return -EINVAL;
  }
}

void DataThread::tick() {
  if (now_ns_ - ticked_ns_ < tick_ns) return;
  ticked_ns_ = now_ns_;
  for (auto& [id, client] : clients_) {
    if (client.leaving) continue;
    Shard& shard = *spaces_[client.session->identity().space].shard;
    client.session->drain_touches(shard_, [&](uint32_t block) { shard.touch(block, now_ns_); });
  }
  for (Space& space : spaces_) space.shard->tick(now_ns_);
}

}  // namespace speckv
