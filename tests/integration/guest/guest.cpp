// SPDX-License-Identifier: Apache-2.0
#include "guest.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "uapi/linux/speckv.h"

namespace speckv::test {
namespace {

// tests/vectors/README.md: how the pages lie in the file.
constexpr uint32_t layers = 6, heads = 3, pages = 7, head_dim = 64, tokens = 32;
constexpr size_t row_bytes = head_dim * 2, page_bytes = tokens * row_bytes;
constexpr size_t file_bytes = size_t(layers) * 2 * heads * pages * page_bytes;
static_assert(real_blocks == uint64_t(layers) * heads * pages);

const std::vector<uint8_t>& page_file() {
  static const std::vector<uint8_t> bytes = [] {
    std::ifstream file("/smollm2-pages.bin", std::ios::binary);
    std::vector<uint8_t> all((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
    if (all.size() != file_bytes) throw std::runtime_error("no /smollm2-pages.bin in the guest");
    return all;
  }();
  return bytes;
}

// The page that stands at (layer, kind, head) of a block: each block has its own choice.
const uint8_t* page_of(uint64_t number, uint32_t layer, uint32_t kind, uint32_t head) {
  const uint64_t page = number % pages;
  const uint64_t from_layer = (layer + number / pages) % layers;
  const uint64_t from_head = (head + number / (pages * layers)) % heads;
  const uint64_t index = ((from_layer * 2 + kind) * heads + from_head) * pages + page;
  return page_file().data() + index * page_bytes;
}

template <typename Visit>
void each_page(Visit visit) {
  size_t at = 0;
  for (uint32_t layer = 0; layer < layers; layer++)
    for (uint32_t kind = 0; kind < 2; kind++)
      for (uint32_t head = 0; head < heads; head++, at += page_bytes) visit(at, layer, kind, head);
}

int connect_to(const std::string& socket_path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

// One line from QEMU; "" when none comes for that long.
std::string line_of(int port, int seconds) {
  std::string line;
  pollfd ready{port, POLLIN, 0};
  char c = 0;
  while (poll(&ready, 1, seconds * 1000) == 1 && read(port, &c, 1) == 1) {
    if (c == '\n' && !line.empty()) return line;
    if (c != '\r' && c != '\n') line += c;
  }
  return line;
}

// Says it and waits for one of QEMU's answers: `good` or "error". Returns: whether it was good.
bool say(int port, const std::string& words, const char* good, int seconds) {
  if (write(port, words.data(), words.size()) != ssize_t(words.size())) return false;
  for (std::string line = line_of(port, seconds); !line.empty(); line = line_of(port, seconds)) {
    if (line.find(good) != std::string::npos) return true;
    if (line.find("already complete") != std::string::npos) return true;
  }
  return false;
}

// One command to QEMU, by the guest's second serial port. Until the port was raw its echo may have
// sent QEMU half of its own greeting: a byte that is none of JSON makes it forget that.
bool qemu(const std::string& command) {
  const int port = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (port < 0) return false;
  termios raw{};
  tcgetattr(port, &raw);
  cfmakeraw(&raw);
  tcsetattr(port, TCSANOW, &raw);
  bool done = false;
  for (int attempt = 0; attempt < 20 && !done; attempt++)
    done = say(port, "\377\n{\"execute\":\"qmp_capabilities\"}\n", "\"return\"", 1);
  done = done && say(port, command + "\n", "\"return\"", 20);
  close(port);
  return done;
}

}  // namespace

speckv_layout real_layout(uint32_t preset) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = layers;
  layout.kv_heads = heads;
  layout.head_dim = head_dim;
  layout.block_tokens = layout.page_tokens = tokens;
  layout.world = 1;
  layout.preset = preset;
  layout.rope = SPECKV_ROPE_INTERLEAVED;
  layout.rope_theta[0] = 1e5F;
  std::memset(layout.weights_digest, 9, sizeof layout.weights_digest);
  return layout;
}

RealBlock::RealBlock() : memory_(size_t(layers) * 2 * heads * page_bytes) {
  for (uint32_t plane = 0; plane < 2 * layers; plane++)
    views_.push_back({memory_.data() + plane * heads * page_bytes, row_bytes, page_bytes, 2});
}

void RealBlock::fill(uint64_t number) {
  each_page([&](size_t at, uint32_t layer, uint32_t kind, uint32_t head) {
    std::memcpy(&memory_[at], page_of(number, layer, kind, head), page_bytes);
  });
}

bool RealBlock::is(uint64_t number) const {
  bool same = true;
  each_page([&](size_t at, uint32_t layer, uint32_t kind, uint32_t head) {
    same = same && std::memcmp(&memory_[at], page_of(number, layer, kind, head), page_bytes) == 0;
  });
  return same;
}

uint64_t RealBlock::sum() const {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (const uint8_t byte : memory_) hash = (hash ^ byte) * 0x100000001b3ull;
  return hash;
}

RealClient::RealClient(const std::string& socket_path, const char* space, uint32_t preset)
    : client_(socket_path, space) {
  if (opened() == 0) layout_ = client_.add_layout(real_layout(preset));
}

int RealClient::put(uint64_t number) {
  block_.fill(number % real_blocks);
  speckv_put_op op{};
  std::memcpy(op.key, key_of(number).bytes, sizeof op.key);
  op.buf = block_.buf();
  op.meta.position = SPECKV_POSITION_UNKNOWN;
  const int tried = speckv_put(client_.get(), layout_, &op, 1);
  if (tried < 0) return tried;
  if (op.ret_result != 0) return op.ret_result;
  const auto done = client_.reap(1);
  return done.size() == 1 ? done[0].result : -ETIMEDOUT;
}

int RealClient::get(uint64_t number) {
  block_.forget();
  speckv_get_op op{};
  std::memcpy(op.key, key_of(number).bytes, sizeof op.key);
  op.buf = block_.buf();
  const int tried = speckv_get(client_.get(), layout_, &op, 1);
  const int result = tried < 0 ? tried : op.ret_result;
  return result == 0 && !block_.is(number % real_blocks) ? 1 : result;
}

int RealClient::put_all(uint64_t count) {
  int stored = 0;
  for (uint64_t i = 0; i < count; i++) stored += put(i) == 0;
  return stored;
}

int RealClient::get_all(uint64_t count, int* wrong) {
  int hits = 0;
  for (uint64_t i = 0; i < count; i++) {
    const int result = get(i);
    hits += result == 0;
    *wrong += result == 1;
  }
  return hits;
}

bool RealClient::reconnected(uint64_t before) {
  for (int i = 0; i < 4000; i++) {
    if (client_.stats().reconnects > before && client_.stats().connected) return true;
    get(987654);
    usleep(5000);
  }
  return false;
}

pid_t spawn_as(uid_t uid, const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  if (setgid(uid) != 0 || setuid(uid) != 0) _exit(199);
  const int status = body();
  std::fflush(nullptr);
  _exit(status);
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 200 + WTERMSIG(status) : WEXITSTATUS(status);
}

void* shared_memory(size_t bytes) {
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000; i++) {
    if (condition()) return true;
    usleep(10'000);
  }
  return false;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

uint64_t region_bytes(const char* what) {
  const std::string path = std::string("/sys/class/speckv/speckv0/") + what + "_bytes";
  return std::strtoull(read_file(path).c_str(), nullptr, 10);
}

pid_t listener(const std::string& socket_path) {
  const int fd = connect_to(socket_path);
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (fd >= 0) getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
  if (fd >= 0) close(fd);
  return fd >= 0 ? peer.pid : -1;
}

uint64_t status_field(const std::string& socket_path, const std::string& name) {
  const int fd = connect_to(socket_path);
  if (fd < 0) return 0;
  struct {
    wire::WireHeader header;
    char text[6] = {'s', 't', 'a', 't', 'u', 's'};
  } request;
  const uint32_t bytes = sizeof request.header + sizeof request.text;
  request.header = {wire::magic,         uint16_t(wire::Type::control), 0,
                    wire::version_major, wire::version_minor,           bytes};
  std::string answer;
  bool more = send(fd, &request, bytes, MSG_NOSIGNAL) == ssize_t(bytes);
  while (more) {
    std::vector<char> part(wire::message_bytes_max);
    const ssize_t got = recv(fd, part.data(), part.size(), 0);
    if (got < ssize_t(sizeof(wire::WireHeader))) break;
    wire::WireHeader header;
    std::memcpy(&header, part.data(), sizeof header);
    answer.append(part.data() + sizeof header, size_t(got) - sizeof header);
    more = header.flags & wire::flag_more;
  }
  close(fd);
  const size_t at = answer.find("\"" + name + "\":");
  return at == std::string::npos
             ? 0
             : std::strtoull(answer.c_str() + at + name.size() + 3, nullptr, 10);
}

RawSession say_hello(const std::string& socket_path, const char* space) {
  RawSession session;
  const int fd = connect_to(socket_path);
  if (fd < 0) return session;
  wire::Hello hello{};
  hello.header = {wire::magic,         uint16_t(wire::Type::hello), 0,
                  wire::version_major, wire::version_minor,         sizeof hello};
  std::strncpy(hello.namespace_name, space, sizeof hello.namespace_name - 1);
  if (send(fd, &hello, sizeof hello, 0) != sizeof hello) return session;
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
  iovec part{&session.welcome, sizeof session.welcome};
  msghdr packet{};
  packet.msg_iov = &part, packet.msg_iovlen = 1;
  packet.msg_control = control, packet.msg_controllen = sizeof control;
  if (recvmsg(fd, &packet, 0) != sizeof session.welcome) return session;
  if (const cmsghdr* rights = CMSG_FIRSTHDR(&packet))
    std::memcpy(&session.pool, CMSG_DATA(rights) + wire::fd_pool * sizeof(int), sizeof(int));
  return session;
}

bool pull_card() {
  return qemu("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"cxl-vmem0\"}}") &&
         eventually([] { return access("/dev/speckv0", F_OK) != 0; }) &&
         eventually([] { return access("/sys/bus/cxl/devices/mem0", F_OK) != 0; });
}

bool poison(uint64_t offset) {
  const int fd = open("/dev/speckv0", O_RDWR | O_CLOEXEC);
  speckv_poison request{};
  request.flags = SPECKV_POISON_MARK;
  request.offset = offset;
  request.bytes = 1;
  const bool done = fd >= 0 && ioctl(fd, SPECKV_IOC_POISON, &request) == 0;
  if (fd >= 0) close(fd);
  return done;
}

DaemonOptions extent_daemon(const std::string& bytes_each, const std::string& engine) {
  DaemonOptions options;
  options.medium = "extent";
  options.pool_lines = "path = \"/dev/speckv0\"";
  options.daemon_lines = "socket_mode = \"0666\"";
  options.session_lines = "arena_bytes = \"2MiB\"";
  options.pool_bytes = bytes_each;
  options.namespace_lines = "uids = [" + std::to_string(uid_one) + "]";
  options.data_threads = 1;
  options.uid = uid_speckv;
  options.more = "[[namespace]]\nname = \"two\"\nbytes = \"" + bytes_each +
                 "\"\npreset = \"exact\"\nuids = [" + std::to_string(uid_two) + "]\n[engine]\n" +
                 engine;
  return options;
}

}  // namespace speckv::test
