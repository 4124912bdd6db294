// SPDX-License-Identifier: Apache-2.0
// Proves what speckv_open says of every daemon that cannot be used: absent, foreign, silent, of
// another version, lying about sizes. The strange ones are played by this process on a socket of
// its own.
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "client.hpp"
#include "shm/index.hpp"
#include "shm/pool_format.hpp"
#include "shm/session_format.hpp"
#include "shm/wire.hpp"

namespace speckv::test {
namespace {

using Open = LibTest;

speckv_open_args args_for(const std::string& path) {
  speckv_open_args args{};
  args.size = sizeof args;
  args.socket_path = path.c_str();
  args.daemon_uid = -1;
  return args;
}

int try_open(const speckv_open_args& args) {
  speckv_session* session = nullptr;
  const int result = speckv_open(&args, &session);
  EXPECT_EQ(session != nullptr, result == 0);
  speckv_close(session);
  return result;
}

// Plays a daemon for one connection: reads the Hello and lets `answer` reply.
class FakeDaemon {
 public:
  explicit FakeDaemon(std::function<void(int socket, const wire::Hello& hello)> answer) {
    char name[] = "/tmp/speckv-fake-XXXXXX";
    folder_ = mkdtemp(name);
    path = folder_ + "/s";
    listener_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 4), 0);
    thread_ = std::thread([this, answer] {
      const int socket = accept(listener_, nullptr, nullptr);
      wire::Hello hello{};
      if (recv(socket, &hello, sizeof hello, 0) == sizeof hello) answer(socket, hello);
      close(socket);
    });
  }
  ~FakeDaemon() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    unlink(path.c_str());
    rmdir(folder_.c_str());
  }
  std::string path;

 private:
  std::string folder_;
  int listener_;
  std::thread thread_;
};

wire::WireHeader header(wire::Type type, uint32_t bytes) {
  return {wire::magic, uint16_t(type), 0, wire::version_major, wire::version_minor, bytes};
}

// A Welcome with all its descriptors, as `change` spoils it.
void welcome(int socket, const std::function<void(wire::Welcome&, shm::SessionHeader&,
                                                  shm::PoolHeader&, shm::IndexHeader&)>& change) {
  wire::Welcome message{};
  message.header = header(wire::Type::welcome, sizeof message);
  message.shards = 1;
  message.session_bytes = shm::session_arena_offset(1) + (1u << 20);
  message.pool_bytes = 2 * shm::unit_bytes;
  message.index_bytes = shm::index_file_bytes(1, 16);
  int fds[5];
  std::byte* maps[3];
  const uint64_t bytes[3] = {message.session_bytes, message.pool_bytes, message.index_bytes};
  for (int i = 0; i < 3; i++) {
    fds[i] = memfd_create("fake", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(fds[i], off_t(bytes[i])), 0);
    maps[i] = static_cast<std::byte*>(
        mmap(nullptr, bytes[i], PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0));
  }
  for (int i : {3, 4}) fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  auto& session = *reinterpret_cast<shm::SessionHeader*>(maps[0]);
  auto& pool = *reinterpret_cast<shm::PoolHeader*>(maps[1]);
  auto& index = *reinterpret_cast<shm::IndexHeader*>(maps[2]);
  session = {shm::session_magic, 1, 0, 1, shm::session_arena_offset(1), 1u << 20};
  pool.magic = shm::pool_magic, pool.version = shm::pool_version, pool.shards = 1, pool.units = 1;
  index.magic = shm::index_magic, index.version = shm::index_version, index.shards = 1,
  index.buckets = 16;
  change(message, session, pool, index);
  char control[CMSG_SPACE(sizeof fds)] = {};
  iovec part{&message, sizeof message};
  msghdr packet{};
  packet.msg_iov = &part, packet.msg_iovlen = 1, packet.msg_control = control,
  packet.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&packet);
  rights->cmsg_level = SOL_SOCKET, rights->cmsg_type = SCM_RIGHTS,
  rights->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(rights), fds, sizeof fds);
  sendmsg(socket, &packet, MSG_NOSIGNAL);
  for (int i = 0; i < 3; i++) munmap(maps[i], bytes[i]);
  for (int fd : fds) close(fd);
  char end;
  recv(socket, &end, 1, 0);  // until the client closes
}

TEST(OpenWithout, WrongArguments) {
  speckv_session* session = nullptr;
  const std::string absent = "/no/such/socket";
  speckv_open_args args = args_for(absent);
  EXPECT_EQ(speckv_open(&args, nullptr), -EINVAL);
  EXPECT_EQ(speckv_open(&args, &session), -ENOENT);
  args.size = 8;
  EXPECT_EQ(speckv_open(&args, &session), -EINVAL);
  args = args_for(absent), args.flags = 1;
  EXPECT_EQ(speckv_open(&args, &session), -EINVAL);
  args = args_for(absent), args.reserved[2] = 1;
  EXPECT_EQ(speckv_open(&args, &session), -EINVAL);
  args = args_for(absent), args.daemon_uid = -2;
  EXPECT_EQ(speckv_open(&args, &session), -EINVAL);
  const std::string long_name(200, 'x');
  args = args_for(long_name);
  EXPECT_EQ(speckv_open(&args, &session), -EINVAL);
  args = args_for(absent), args.namespace_name = long_name.c_str();
  EXPECT_EQ(speckv_open(&args, &session), -EINVAL);
  EXPECT_EQ(session, nullptr);
}

TEST_F(Open, ADaemonThatRefuses) {
  begin();
  speckv_open_args args = args_for(daemon().socket_path());
  EXPECT_EQ(try_open(args), 0);
  args.daemon_uid = 54321;
  EXPECT_EQ(try_open(args), -EPERM);
  args.daemon_uid = int32_t(geteuid());
  EXPECT_EQ(try_open(args), 0);
  args.namespace_name = "no-such-namespace";
  EXPECT_EQ(try_open(args), -EACCES);
  daemon().kill();  // its socket file stays
  args = args_for(daemon().socket_path());
  EXPECT_EQ(try_open(args), -ECONNREFUSED);
}

// The descriptors of a Welcome that find no room are cut off by the kernel.
TEST_F(Open, WithoutRoomForItsDescriptors) {
  begin();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = dup(0);  // the lowest number that is free
  close(next);
  for (rlim_t room : {3, 5, 7}) {  // event, socket, and 1, 3, 5 of seven
    rlimit few{rlim_t(next) + room, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    const int result = try_open(args_for(daemon().socket_path()));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(result, -EMFILE) << room;
    const int again = dup(0);
    close(again);
    EXPECT_EQ(again, next) << "a descriptor was leaked";
  }
  EXPECT_EQ(try_open(args_for(daemon().socket_path())), 0);
}

// A caller that was compiled against a later header: its new fields must not be wanted.
TEST_F(Open, FieldsOfALaterHeader) {
  begin();
  struct {
    speckv_open_args args;
    uint64_t later;
  } grown{args_for(daemon().socket_path()), 0};
  grown.args.size = sizeof grown;
  EXPECT_EQ(try_open(grown.args), 0);
  grown.later = 1;
  EXPECT_EQ(try_open(grown.args), -EINVAL);
}

TEST_F(Open, SixtyFourSessions) {
  DaemonOptions options;
  options.session_lines = "sessions_max = 100";
  begin(options);
  std::vector<std::unique_ptr<Client>> more;
  for (int i = 0; i < 63; i++) {
    more.push_back(std::make_unique<Client>(daemon().socket_path(), nullptr, 1u << 20));
    ASSERT_EQ(more.back()->opened(), 0) << i;
  }
  EXPECT_EQ(Client(daemon().socket_path()).opened(), -EMFILE);
  more.pop_back();
  EXPECT_EQ(Client(daemon().socket_path(), nullptr, 1u << 20).opened(), 0);
}

TEST(OpenStrange, AnotherMajorVersion) {
  FakeDaemon fake([](int socket, const wire::Hello&) {
    wire::Error error{};
    error.header = header(wire::Type::error, sizeof error);
    error.header.major = wire::version_major + 1;
    error.error = EINVAL;
    send(socket, &error, sizeof error, MSG_NOSIGNAL);
  });
  EXPECT_EQ(try_open(args_for(fake.path)), -EPROTO);
}

TEST(OpenStrange, Silent) {
  FakeDaemon fake([](int socket, const wire::Hello&) {
    char end;
    recv(socket, &end, 1, 0);
  });
  speckv_open_args args = args_for(fake.path);
  args.timeout_ms = 30;
  EXPECT_EQ(try_open(args), -ETIMEDOUT);
}

TEST(OpenStrange, HangsUp) {
  FakeDaemon fake([](int, const wire::Hello&) {});
  EXPECT_EQ(try_open(args_for(fake.path)), -ECONNRESET);
}

TEST(OpenStrange, Malformed) {
  for (int kind = 0; kind < 4; kind++) {
    FakeDaemon fake([kind](int socket, const wire::Hello&) {
      wire::Welcome message{};
      message.header = header(wire::Type::welcome, sizeof message);
      message.shards = 1;
      size_t bytes = sizeof message;  // 0: whole, but without descriptors
      if (kind == 1) bytes = 10;
      if (kind == 2) message.header.bytes++;
      if (kind == 3) message.header.magic++;
      send(socket, &message, bytes, MSG_NOSIGNAL);
    });
    EXPECT_EQ(try_open(args_for(fake.path)), -EPROTO) << kind;
  }
}

TEST(OpenStrange, LiesAboutWhatItSends) {
  using Change =
      std::function<void(wire::Welcome&, shm::SessionHeader&, shm::PoolHeader&, shm::IndexHeader&)>;
  const Change lies[] = {
      [](auto& message, auto&, auto&, auto&) { message.pool_bytes *= 2; },  // longer than its file
      [](auto& message, auto&, auto&, auto&) { message.session_bytes += 4096; },
      [](auto& message, auto&, auto&, auto&) { message.index_bytes = UINT64_MAX; },
      [](auto& message, auto&, auto&, auto&) { message.shards = 65; },
      [](auto& message, auto&, auto&, auto&) { message.shards = 0; },
      [](auto&, auto& session, auto&, auto&) { session.arena_bytes = 1u << 30; },
      [](auto&, auto& session, auto&, auto&) { session.arena_offset = 0; },
      [](auto&, auto&, auto& pool, auto&) { pool.version++; },
      [](auto&, auto&, auto& pool, auto&) { pool.shards = 2; },
      [](auto&, auto&, auto&, auto& index) { index.buckets = 1u << 30; },
      [](auto&, auto&, auto&, auto& index) { index.magic = 0; },
  };
  int number = 0;
  for (const Change& lie : lies) {
    FakeDaemon fake([&](int socket, const wire::Hello&) { welcome(socket, lie); });
    EXPECT_EQ(try_open(args_for(fake.path)), -EPROTO) << number;
    number++;
  }
  FakeDaemon honest([](int socket, const wire::Hello& hello) {
    EXPECT_STREQ(hello.namespace_name, "default");
    welcome(socket, [](auto&, auto&, auto&, auto&) {});
  });
  EXPECT_EQ(try_open(args_for(honest.path)), 0);  // the control: without a lie it opens
}

}  // namespace
}  // namespace speckv::test
