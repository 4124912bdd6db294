// SPDX-License-Identifier: Apache-2.0
// daemon_status.cpp - see daemon_status.hpp.
#include "daemon_status.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "shm/wire.hpp"
#include "workload.hpp"

namespace speckv::qa {

namespace {

// A connected socket that closes itself.
struct Line {
  explicit Line(const std::string& path) : fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      throw Failure("speckvd does not answer at " + path + ": " + std::strerror(errno));
    }
  }
  ~Line() { close(fd); }
  Line(const Line&) = delete;
  int fd;
};

std::string ask(const std::string& path, const std::string& question) {
  const Line line(path);
  std::vector<char> message(sizeof(wire::WireHeader) + question.size());
  wire::WireHeader header{
      wire::magic,         uint16_t(wire::Type::control), 0,
      wire::version_major, wire::version_minor,           uint32_t(message.size())};
  std::memcpy(message.data(), &header, sizeof(header));
  question.copy(message.data() + sizeof(header), question.size());
  if (send(line.fd, message.data(), message.size(), MSG_NOSIGNAL) < 0) {
    throw Failure(std::string("asking speckvd: ") + std::strerror(errno));
  }
  std::string answer;
  do {
    message.resize(wire::message_bytes_max);
    const ssize_t bytes = recv(line.fd, message.data(), message.size(), 0);
    if (bytes < ssize_t(sizeof(header))) throw Failure("speckvd ended its answer early");
    std::memcpy(&header, message.data(), sizeof(header));
    if (header.type != uint16_t(wire::Type::reply)) throw Failure("speckvd refused the question");
    answer.append(message.data() + sizeof(header), size_t(bytes) - sizeof(header));
  } while ((header.flags & wire::flag_more) != 0);
  return answer;
}

}  // namespace

std::map<std::string, SpaceStatus> ask_status(const std::string& socket) {
  const auto status = nlohmann::json::parse(ask(socket, "status"));
  const auto& daemon = status.at("daemon");
  std::map<std::string, SpaceStatus> spaces;
  for (const auto& space : status.at("namespaces")) {
    SpaceStatus& one = spaces[space.at("name").get<std::string>()];
    one.raw_bytes = space.at("raw_bytes").get<uint64_t>();
    one.stored_bytes = space.at("stored_bytes").get<uint64_t>();
    one.evicted_blocks = space.at("evicted_blocks").get<uint64_t>();
    one.page_bytes = space.at("pool_page_bytes").get<uint64_t>();
    one.medium = daemon.at("medium").get<std::string>();
    if (daemon.at("emulated").get<bool>()) one.medium += ", emulated";
  }
  return spaces;
}

}  // namespace speckv::qa
