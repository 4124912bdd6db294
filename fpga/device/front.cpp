// SPDX-License-Identifier: Apache-2.0
#include "front.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

namespace speckv::device {

void Front::run(int stop, int listener, int control) {
  std::thread clients([this] { serve_clients(); });
  for (;;) {
    std::vector<pollfd> sources{{stop, POLLIN, 0}, {listener, POLLIN, 0}, {control, POLLIN, 0}};
    for (const Speaker& speaker : speakers_)
      sources.push_back({speaker.connection.get(), POLLIN, 0});
    if (poll(sources.data(), sources.size(), turn_away()) < 0 && errno != EINTR) break;
    if (sources[0].revents != 0) break;
    if (sources[1].revents != 0) take_client(listener);
    std::vector<Speaker> staying;
    for (size_t i = 0; i < speakers_.size(); ++i)
      if (sources[3 + i].revents == 0 || listen_to(speakers_[i]))
        staying.push_back(std::move(speakers_[i]));
    speakers_ = std::move(staying);
    if (sources[2].revents == 0) continue;
    Descriptor speaker(accept4(control, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (speaker.get() >= 0 && speakers_.size() < speakers_max)
      speakers_.push_back({std::move(speaker), {}});
  }
  {
    const std::lock_guard lock(lock_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  server_.stop();
  clients.join();
}

void Front::take_client(int listener) {
  Descriptor client(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  const std::lock_guard lock(lock_);
  if (client.get() < 0 || waiting_.get() >= 0) return;  // closed
  waiting_ = std::move(client);
  waits_until_ = std::chrono::steady_clock::now() + patience;
  changed_.notify_all();
}

int Front::turn_away() {
  const std::lock_guard lock(lock_);
  if (is_serving_ && std::chrono::steady_clock::now() >= waits_until_) waiting_ = Descriptor();
  return waiting_.get() < 0 ? -1 : int(patience.count());
}

void Front::serve_clients() {
  for (;;) {
    Descriptor client;
    {
      std::unique_lock lock(lock_);
      is_serving_ = false;
      changed_.wait(lock, [this] { return is_stopping_ || waiting_.get() >= 0; });
      if (is_stopping_) return;
      std::swap(client, waiting_);
      is_serving_ = true;
    }
    server_.serve(std::move(client));
  }
}

bool Front::listen_to(Speaker& speaker) {
  char bytes[line_bytes_max];
  const ssize_t got = recv(speaker.connection.get(), bytes, sizeof(bytes), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return false;
  speaker.said.append(bytes, size_t(got));
  for (size_t end; (end = speaker.said.find('\n')) != std::string::npos;) {
    const std::string answer = backend_.command(speaker.said.substr(0, end)) + "\n";
    speaker.said.erase(0, end + 1);
    server_.wake();
    // one that does not read what it asked for loses it
    (void)!send(speaker.connection.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  }
  return speaker.said.size() <= line_bytes_max;
}

}  // namespace speckv::device
