// SPDX-License-Identifier: Apache-2.0
// closer.cpp - see closer.hpp.
#include "session/closer.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace speckv {

namespace {

constexpr int read_max = 32;  // messages at its end; the kernel queues 11 for such a socket
constexpr long wake_every_ns = 20'000'000;  // from a wait of the kernel's that a signal ends

struct Peeked {
  ssize_t bytes = -1;
  int flags = 0;
  size_t control_bytes = 0;
};

// Looks at the next message. Descriptors find no room, so that the kernel says MSG_CTRUNC and drops
// only the reference that the look took. Where credentials are asked for they fill what room there
// is.
Peeked peek(int fd, bool credentials) {
  char byte;
  iovec part{&byte, sizeof byte};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = credentials ? control : nullptr;
  packet.msg_controllen = credentials ? sizeof control : 0;
  const ssize_t bytes = recvmsg(fd, &packet, MSG_PEEK | MSG_DONTWAIT);
  return {bytes, packet.msg_flags, bytes < 0 ? 0 : packet.msg_controllen};
}

// Reads what has no descriptors with it. Requires: fd was shut down, so that nothing comes any
// more. Every message then has credentials, an empty one too; the end has none.
// Returns: whether nothing is left in it.
bool empty(int fd) {
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return false;
  for (int messages = 0; messages < read_max; messages++) {
    const Peeked next = peek(fd, true);
    if (next.bytes <= 0 && next.control_bytes == 0) return true;
    if (next.flags & MSG_CTRUNC) return false;
    char byte;
    if (recv(fd, &byte, sizeof byte, MSG_DONTWAIT) < 0) return false;
  }
  return false;
}

// A signal each 20 ms while a close is under way: its handler does nothing, yet the wait is over.
class Waker {
 public:
  Waker() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(signal(), &action, nullptr);
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, signal());
    pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal();
    event._sigev_un._tid = int(syscall(SYS_gettid));
    there_ = timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
  }
  ~Waker() {
    if (there_) timer_delete(timer_);
  }
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;
  void run(bool run) {
    const timespec every{0, run ? wake_every_ns : 0};
    const itimerspec times{every, every};
    if (there_) timer_settime(timer_, 0, &times, nullptr);
  }

 private:
  static int signal() { return SIGRTMIN; }
  timer_t timer_{};
  bool there_ = false;
};

}  // namespace

struct Closer::State {
  CloseFn close;
  mutable std::mutex lock;
  std::condition_variable changed;
  std::deque<std::pair<int, uid_t>> waiting;  // the first is being closed
  std::map<uid_t, size_t> of_uid;
  bool over = false;
  std::thread thread;

  void run();
  void take(int fd, uid_t uid);
};

void Closer::State::run() {
  pthread_setname_np(pthread_self(), "speckv-closer");
  Waker waker;
  std::unique_lock held(lock);
  for (;;) {
    changed.wait(held, [this] { return over || !waiting.empty(); });
    if (waiting.empty()) return;
    const auto [fd, uid] = waiting.front();
    held.unlock();
    waker.run(true);
    close(fd);
    waker.run(false);
    held.lock();
    waiting.pop_front();
    if (--of_uid[uid] == 0) of_uid.erase(uid);
  }
}

void Closer::State::take(int fd, uid_t uid) {
  std::lock_guard held(lock);
  waiting.emplace_back(fd, uid);
  of_uid[uid]++;
  changed.notify_one();
}

Closer::Closer(CloseFn close) : state_(std::make_shared<State>()) {
  state_->close = close ? std::move(close) : [](int fd) { ::close(fd); };
  state_->thread = std::thread([state = state_] { state->run(); });
}

Closer::~Closer() {
  bool busy = false;
  {
    std::lock_guard held(state_->lock);
    state_->over = true;
    busy = !state_->waiting.empty();
    state_->changed.notify_one();
  }
  if (busy) state_->thread.detach();
  else state_->thread.join();
}

void Closer::close_connection(int fd, uid_t uid) {
  shutdown(fd, SHUT_RDWR);
  if (empty(fd)) ::close(fd);
  else close_later(fd, uid);
}

void Closer::close_later(int fd, uid_t uid) { state_->take(fd, uid); }

size_t Closer::unclosed() const {
  std::lock_guard held(state_->lock);
  return state_->waiting.size();
}

size_t Closer::unclosed_of(uid_t uid) const {
  std::lock_guard held(state_->lock);
  const auto found = state_->of_uid.find(uid);
  return found == state_->of_uid.end() ? 0 : found->second;
}

bool has_descriptors(int fd) { return peek(fd, false).flags & MSG_CTRUNC; }

}  // namespace speckv
