// SPDX-License-Identifier: Apache-2.0
// clients.hpp - clients of the socket as bytes: they say what a test wants, in the order that it
// wants, and show what came back.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon_process.hpp"
#include "shm/wire.hpp"

namespace speckv::test {

// One connection. Not thread-safe.
class Wire {
 public:
  // type: SOCK_SEQPACKET, or another kind that no daemon speaks.
  explicit Wire(const std::string& path);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool connected() const { return connected_; }
  bool send(const void* message, size_t bytes);
  // Waits for a message. Returns: its type; 0 when the daemon has hung up (or after 20 s).
  int receive();
  // Of the last message: the errno and the sentence of an error, 0 of any other.
  int error() const { return error_; }
  const std::string& text() const { return text_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

  // Returns: 0, or the errno that the daemon gives; -1 when it hung up without one.
  int hello(const std::string& space, uint64_t arena_bytes = 64 << 10);
  int layout(const speckv_layout& layout);
  // As speckvctl does, and the text of the whole answer.
  bool ask(const std::string& question);
  std::string answer();
  uint64_t session_id() const { return session_id_; }

 private:
  int fd_;
  bool connected_ = false;
  int error_ = 0;
  std::string text_;
  std::vector<std::byte> bytes_;
  uint64_t session_id_ = 0;
};

// The n-th of many layouts that differ in their weights alone; small.
speckv_layout layout_number(uint64_t n);

// `status`, as root asks it. Null when there is no answer.
nlohmann::json status_of(const std::string& path);
// Asks until `field` of the daemon, or of the first namespace, has this value. Returns: whether.
bool status_becomes(const std::string& path, const std::string& field, uint64_t value);

// Runs work() in a child of this uid (no groups but those given). Returns: its exit status, which
// is 1 when work() said false or threw.
int as_uid(uid_t uid, const std::vector<gid_t>& groups, const std::function<bool()>& work);

}  // namespace speckv::test
