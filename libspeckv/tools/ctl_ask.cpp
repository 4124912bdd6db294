// SPDX-License-Identifier: Apache-2.0
// ctl_ask.cpp - one question to the daemon over its socket, and the answer in as many packets as it
// takes.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/wire_io.hpp"
#include "tools/ctl.hpp"

namespace speckv::ctl {
namespace {

constexpr int answer_ms_max = 10'000;  // between two packets; the daemon answers from memory
constexpr size_t answer_bytes_max = 256u << 20;  // 100,000 blocks take 30 MiB

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// "uid 2000", by the socket's file, which the daemon made.
std::string owner_of(const std::string& path) {
  struct stat file {};
  return stat(path.c_str(), &file) == 0 ? "uid " + std::to_string(file.st_uid) : "another user";
}

std::string not_trusted(const Options& options) {
  const std::string owner = owner_of(options.socket);
  if (options.daemon_uid >= 0)
    return options.socket + " belongs to " + owner + ", not to uid " +
           std::to_string(options.daemon_uid) + ": not asking it";
  return options.socket + " belongs to " + owner +
         ", neither root, user speckv nor you: not asking it; --daemon-uid says whose it may be";
}

int dial_or_fail(const Options& options) {
  const std::string& path = options.socket;
  int fd = -1;
  const int result = lib::dial(path.c_str(), lib::whom_to_trust(options.daemon_uid), &fd);
  switch (-result) {
    case 0:
      return fd;
    case ENOENT:
      throw Failure{"no socket at " + path + ": start speckvd, or name its socket with --socket"};
    case ECONNREFUSED:
      throw Failure{"nobody listens at " + path + ": the daemon is gone; start it again"};
    case EACCES:
      throw Failure{path + ": no right to connect; be root or a member of the socket's group"};
    case EPERM:
      throw Failure{not_trusted(options)};
    default:
      throw Failure{"connecting to " + path + ": " + std::strerror(-result)};
  }
}

void send_request(int fd, const std::string& request) {
  const auto bytes = uint32_t(sizeof(wire::WireHeader) + request.size());
  std::vector<std::byte> message(bytes);
  const wire::WireHeader header = lib::wire_header(wire::Type::control, bytes);
  std::memcpy(message.data(), &header, sizeof header);
  std::memcpy(message.data() + sizeof header, request.data(), request.size());
  const int result = lib::send_message(fd, message.data(), bytes);
  if (result != 0) throw Failure{std::string("asking the daemon: ") + std::strerror(-result)};
}

// Appends one packet's text. Returns: whether another follows.
bool receive_part(int fd, std::vector<std::byte>& buffer, std::string* text) {
  pollfd ready{fd, POLLIN, 0};
  int polled;
  while ((polled = poll(&ready, 1, answer_ms_max)) < 0 && errno == EINTR) {
  }
  if (polled == 0) throw Failure{"the daemon did not answer within 10 s"};
  const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
  if (got <= 0) throw Failure{"the daemon hung up before it answered"};
  wire::WireHeader header;
  if (size_t(got) < sizeof header) throw Failure{"the daemon's answer is too short to be one"};
  std::memcpy(&header, buffer.data(), sizeof header);
  if (header.magic != wire::magic || header.bytes != uint32_t(got))
    throw Failure{"the answer is not of a speckvd"};
  if (header.major != wire::version_major)
    throw Failure{"the daemon speaks version " + std::to_string(header.major) +
                  " of the protocol, this tool " + std::to_string(wire::version_major) +
                  ": use the speckvctl that came with it"};
  if (wire::Type(header.type) == wire::Type::error && size_t(got) >= sizeof(wire::Error)) {
    wire::Error error;
    std::memcpy(&error, buffer.data(), sizeof error);
    error.text[sizeof error.text - 1] = '\0';
    throw Failure{error.text};
  }
  if (wire::Type(header.type) != wire::Type::reply)
    throw Failure{"the daemon answered something else than asked"};
  text->append(reinterpret_cast<const char*>(buffer.data()) + sizeof header,
               size_t(got) - sizeof header);
  if (text->size() > answer_bytes_max) throw Failure{"the answer has no end"};
  return header.flags & wire::flag_more;
}

}  // namespace

nlohmann::ordered_json ask(const Options& options, const std::string& request) {
  const Socket socket(dial_or_fail(options));
  send_request(socket.get(), request);
  std::vector<std::byte> buffer(wire::message_bytes_max);
  std::string text;
  while (receive_part(socket.get(), buffer, &text)) {
  }
  nlohmann::ordered_json answer = nlohmann::ordered_json::parse(text, nullptr, false);
  if (answer.is_discarded() || !answer.is_object())
    throw Failure{"the daemon's answer is no JSON object"};
  if (answer.contains("error")) throw Failure{answer["error"].get<std::string>()};
  return answer;
}

}  // namespace speckv::ctl
