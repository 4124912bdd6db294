// SPDX-License-Identifier: Apache-2.0
// siege_roles.cpp - who takes part in a siege: the victim, and two attackers.
//
// The victim is an ordinary client of the library. The attackers speak the wire: `scribble` writes
// whatever it likes over all memory that it shares with the daemon, `babble` sends messages and
// descriptors that nobody asked for.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "raw_client.hpp"
#include "siege.hpp"
#include "victim.hpp"

namespace speckv::test {
namespace {

// A word that might do harm: limits, signs, small numbers, and anything.
uint64_t nasty(std::mt19937_64& random) {
  switch (random() % 8) {
    case 0:
      return 0;
    case 1:
      return ~uint64_t{0};
    case 2:
      return uint64_t{1} << (random() % 64);
    case 3:
      return random() % 256;
    case 4:
      return (uint64_t{1} << 32) - random() % 4;
    case 5:
      return random() % 4096 * 64;
    default:
      return random();
  }
}

// One life of a scribbler: its memory filled with words, its bells rung, its end untidy.
void scribble_once(const std::string& socket_path, Tally& tally, std::mt19937_64& random) {
  RawClient client;
  if (client.open(socket_path, hostile_space, 1 << 20) != 0) {
    usleep(1000);
    return;
  }
  for (uint32_t shard = 0; shard < client.shards(); shard++) client.area(shard);
  auto* memory = reinterpret_cast<std::byte*>(&client.area(0)) - shm::shards_offset;
  const uint64_t words = client.memory_bytes() / 8;
  const uint64_t rings_end = (shm::shards_offset + client.shards() * sizeof(shm::ShardArea)) / 8;
  for (int round = 0; round < 200 && !tally.stop; round++) {
    for (int i = 0; i < 400; i++) {  // nine of ten where rings, guards and heads are
      const uint64_t at = random() % 10 ? random() % rings_end : random() % words;
      const uint64_t word = nasty(random);
      std::memcpy(memory + 8 * at, &word, 8);
    }
    shm::Submission submission{};
    for (size_t at = 0; at + 8 <= sizeof submission; at += 8) {
      const uint64_t word = nasty(random);
      std::memcpy(reinterpret_cast<std::byte*>(&submission) + at, &word, 8);
    }
    submission.op = uint8_t(random() % 9);
    client.submit(uint32_t(random() % client.shards()), submission);
    tally.attacks++;
  }
  if (random() % 3 == 0)
    fallocate(client.memory_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
              off_t(client.memory_bytes()));
  if (random() % 3 == 0) madvise(memory, client.memory_bytes(), MADV_REMOVE);
  [[maybe_unused]] const int cut = ftruncate(client.memory_fd(), 4096);
}

// Sends bytes with descriptors that nobody asked for.
void send_with(int socket, const void* bytes, size_t count, const std::vector<int>& fds) {
  iovec part{const_cast<void*>(bytes), count};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  std::vector<std::byte> control(CMSG_SPACE(fds.size() * sizeof(int)));
  if (!fds.empty()) {
    packet.msg_control = control.data();
    packet.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&packet);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  [[maybe_unused]] const ssize_t sent = sendmsg(socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

int dial(const std::string& socket_path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

void be_victim(const std::string& socket_path, Tally& tally, bool down) {
  Habits habits;
  habits.down = down;
  Victim(socket_path, victim_space, tally, habits).run();
}

void scribble(const std::string& socket_path, Tally& tally, uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!tally.stop) scribble_once(socket_path, tally, random);
}

void babble(const std::string& socket_path, Tally& tally, uint64_t seed) {
  std::mt19937_64 random(seed);
  const int memory = memfd_create("foreign", MFD_CLOEXEC);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (!tally.stop) {
    const int fd = dial(socket_path);
    if (fd < 0) {
      usleep(1000);
      continue;
    }
    for (int i = 0; i < 8; i++) {
      std::array<uint64_t, 64> message;
      for (uint64_t& word : message) word = nasty(random);
      const size_t bytes = random() % (sizeof message + 1);
      wire::WireHeader header{wire::magic,         uint16_t(random() % 12), uint16_t(random() % 2),
                              wire::version_major, wire::version_minor,     uint32_t(bytes)};
      if (random() % 4) std::memcpy(message.data(), &header, sizeof header);
      std::vector<int> fds;
      for (uint64_t n = random() % 3 ? 0 : random() % 20; n > 0; n--)
        fds.push_back(random() % 2 ? memory : null);
      send_with(fd, message.data(), bytes, fds);
      tally.attacks++;
    }
    close(fd);
  }
}

}  // namespace speckv::test
