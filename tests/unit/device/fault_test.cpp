// SPDX-License-Identifier: Apache-2.0
// fault_test.cpp - each fault of the control socket does what it says, to the driver that this file
// plays, and after it is over the next good command works. The sockets of the program at the end.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/un.h>

#include <thread>

#include "client.hpp"
#include "engine_fixture.hpp"
#include "front.hpp"

namespace speckv::device {
namespace {

using testing::Client;
using testing::Host;
using testing::Shape;

class Faulty : public testing::EngineTest {
 protected:
  Faulty() : inner_(std::move(backend_)) {
    auto around = std::make_unique<FaultBackend>(*inner_);
    faulty_ = around.get();
    backend_ = std::move(around);
  }

  void arm(std::string_view line) { EXPECT_EQ(faulty_->command(line), "ok"); }
  void submit_nop(uint64_t cookie) {
    speckv_engine_descriptor nop{};
    nop.cookie = cookie;
    host_.submit(nop);
  }
  void work() {
    while (backend_->work(map_)) {
    }
  }
  std::vector<uint64_t> cookies() {
    std::vector<uint64_t> cookies;
    while (const auto told = host_.poll()) cookies.push_back(told->cookie);
    return cookies;
  }
  // Three commands with the fault at the second. Returns: the cookies that were told of.
  std::vector<uint64_t> second_of_three(const std::string& fault) {
    arm(fault + " after=1");
    for (uint64_t cookie = 1; cookie <= 3; ++cookie) submit_nop(cookie);
    work();
    return cookies();
  }
  void expect_good() {
    for (uint64_t i = 0; i < 20; ++i) {
      speckv_engine_descriptor nop{};
      nop.cookie = 100 + i;
      const auto told = run(nop);
      ASSERT_EQ(told.cookie, nop.cookie);
      ASSERT_EQ(told.status, SPECKV_ENGINE_OK);
    }
  }
  void start_anew() {
    host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
    EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_IDLE_MASK);
    host_.set_up();
    expect_good();
  }

  std::unique_ptr<Backend> inner_;
  FaultBackend* faulty_;
};

TEST_F(Faulty, WithoutAFaultNothingIsOtherwise) {
  expect_good();
  EXPECT_TRUE(faulty_->command("status").starts_with("ok completions=20 interrupts=0 reads="));
}

TEST_F(Faulty, SimulatedTimeIsToldWhereAClockIsGiven) {
  EXPECT_EQ(faulty_->command("status").find("simulated"), std::string::npos);
  FaultBackend clocked(*inner_, 400);
  speckv_engine_descriptor asked{};
  asked.opcode = SPECKV_ENGINE_CHECKSUM;
  asked.source_extent = Host::extent_data;
  asked.bytes = 1 << 20;
  host_.submit(asked);
  while (clocked.work(map_)) {
  }
  // 16,384 beats, and the descriptor's; 116 cycles beside them
  EXPECT_NE(clocked.command("status").find(
                " simulated_cycles=16500 simulated_us=41 bytes_read=1048640 bytes_written=64"),
            std::string::npos)
      << clocked.command("status");
}

TEST_F(Faulty, ADroppedCompletionIsMissing) {
  EXPECT_EQ(second_of_three("drop"), (std::vector<uint64_t>{1, 3}));
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_CQ_TAIL), 2u);
  expect_good();
  start_anew();
}

TEST_F(Faulty, ADoubledOneComesTwice) {
  EXPECT_EQ(second_of_three("twice"), (std::vector<uint64_t>{1, 2, 2, 3}));
  EXPECT_EQ(host_.read(SPECKV_REG_QUEUES_CQ_TAIL), 4u);
  expect_good();
  start_anew();
}

TEST_F(Faulty, AHoleHidesWhatComesBehindIt) {
  EXPECT_EQ(second_of_three("hole"), (std::vector<uint64_t>{1}));
  start_anew();
}

TEST_F(Faulty, AWrongPhaseBitHidesACompletion) {
  EXPECT_EQ(second_of_three("phase"), (std::vector<uint64_t>{1}));
  start_anew();
}

TEST_F(Faulty, WrongFields) {
  EXPECT_EQ(second_of_three("cookie"), (std::vector<uint64_t>{1, ~uint64_t{2}, 3}));
  const Shape shape;
  set_layout(shape);
  const auto asked = descriptor(shape, true, false);
  const auto good = run(asked);
  arm("checksum");
  EXPECT_EQ(run(asked).checksum, good.checksum ^ 1);
  arm("length");
  EXPECT_EQ(run(asked).bytes, good.bytes + 32);
  EXPECT_EQ(run(asked).checksum, good.checksum) << "each hits once";
}

TEST_F(Faulty, GarbageHasTheRightChecksum) {
  const Shape shape;
  set_layout(shape);
  const auto asked = descriptor(shape, true, false);
  const auto good = run(asked);
  const auto stored = host_.at(Host::data + (3 << 20), asked.bytes);
  const std::vector<std::byte> right(stored.begin(), stored.end());
  arm("garbage");
  const auto told = run(asked);
  EXPECT_EQ(told.status, SPECKV_ENGINE_OK);
  EXPECT_EQ(told.checksum, good.checksum);
  EXPECT_FALSE(std::ranges::equal(stored, right));
  (void)run(asked);
  EXPECT_TRUE(std::ranges::equal(stored, right)) << "and once only";
}

TEST_F(Faulty, AStuckDeviceIsFreedByAReset) {
  arm("stuck");
  submit_nop(1);
  EXPECT_FALSE(backend_->work(map_));
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), 0u) << "it says that it is busy";
  EXPECT_TRUE(cookies().empty());
  start_anew();
}

TEST_F(Faulty, AndByAResetOfTheFunction) {
  arm("stuck");
  backend_->reset();
  host_.set_up();
  expect_good();
}

TEST_F(Faulty, ADeafOneIsNot) {
  arm("deaf");
  submit_nop(1);
  EXPECT_FALSE(backend_->work(map_));
  host_.write(SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
  EXPECT_EQ(host_.read(SPECKV_REG_STATUS), SPECKV_REG_STATUS_RESETTING_MASK);
  backend_->reset();
  EXPECT_FALSE(backend_->work(map_));
  arm("heal");
  (void)backend_->work(map_);
  start_anew();
}

TEST_F(Faulty, ASlowOneTakesItsTimeAndItsRegistersAnswer) {
  arm("slow ms=20");
  submit_nop(1);
  const auto begin = std::chrono::steady_clock::now();
  int naps = 0;
  while (cookies().empty()) {
    EXPECT_EQ(host_.read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE);
    naps += backend_->work(map_) ? 1 : 0;
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(20));
  EXPECT_GT(naps, 2) << "work() has come back in between";
  arm("heal");
  expect_good();
}

TEST_F(Faulty, AResetByItselfForgetsAll) {
  EXPECT_EQ(second_of_three("reset"), (std::vector<uint64_t>{1}));
  EXPECT_EQ(host_.read(SPECKV_REG_CONTROL), 0u);
  EXPECT_EQ(host_.read(SPECKV_REG_EXTENTS_SIZE), 0u);
  host_.set_up();
  expect_good();
}

TEST_F(Faulty, ALinkThatIsDownGivesOnes) {
  arm("link-down");
  submit_nop(1);
  EXPECT_FALSE(backend_->work(map_));
  EXPECT_TRUE(faulty_->is_link_down());
  EXPECT_EQ(host_.read(SPECKV_REG_MAGIC), 0xffffffffu);
  host_.write(SPECKV_REG_CONTROL, 0);
  EXPECT_TRUE(cookies().empty());
  EXPECT_FALSE(backend_->take_interrupt());
  arm("heal");
  (void)backend_->work(map_);
  EXPECT_EQ(host_.read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE);
  EXPECT_EQ(host_.read(SPECKV_REG_CONTROL), 0u) << "as after power-on";
  host_.set_up();
  expect_good();
}

TEST_F(Faulty, LinesThatSayNothing) {
  for (const char* line : {"", "dropp", "drop count=", "drop count=-1", "drop 3", "slow ms=60001",
                           "drop count=99999999999", "drop count=all after=all"})
    EXPECT_TRUE(faulty_->command(line).starts_with("error: ")) << line;
  expect_good();
}

TEST_F(Faulty, EveryFaultAtOnceHurtsNobody) {
  for (const char* line :
       {"drop count=3 after=2", "twice count=5", "hole count=2 after=7", "phase count=2 after=9",
        "cookie count=all", "garbage count=all", "length count=4", "checksum count=all"})
    arm(line);
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    submit_nop(uint64_t(i));
    (void)backend_->work(map_);
    (void)cookies();
    if (random() % 64 == 0) arm("reset");
    if (random() % 16 == 0) host_.set_up();
  }
  arm("heal");
  start_anew();
}

// The program's sockets, without its main().
class Sockets : public ::testing::Test {
 protected:
  Sockets()
      : golden_(make_golden_backend()),
        backend_(*golden_),
        server_(backend_, &backend_.is_link_down()),
        stop_(eventfd(0, EFD_CLOEXEC)),
        folder_(::testing::TempDir() + "device." + std::to_string(getpid())),
        device_(listen_at(folder_ + ".sock")),
        control_(listen_at(folder_ + ".control")),
        front_(server_, backend_),
        thread_([this] { front_.run(stop_.get(), device_.get(), control_.get()); }) {}
  ~Sockets() override {
    const uint64_t one = 1;
    EXPECT_EQ(write(stop_.get(), &one, sizeof(one)), ssize_t(sizeof(one)));
    thread_.join();
    unlink((folder_ + ".sock").c_str());
    unlink((folder_ + ".control").c_str());
  }

  Descriptor connect(const std::string& name) const {
    Descriptor connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ + name).copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
              0);
    return connection;
  }
  static std::string ask(const Descriptor& connection, const std::string& line) {
    EXPECT_EQ(send(connection.get(), line.data(), line.size(), 0), ssize_t(line.size()));
    std::string answer;
    for (char c; recv(connection.get(), &c, 1, 0) == 1 && c != '\n';) answer += c;
    return answer;
  }

  std::unique_ptr<Backend> golden_;
  FaultBackend backend_;
  Server server_;
  Descriptor stop_;
  std::string folder_;
  Descriptor device_, control_;
  Front front_;
  std::thread thread_;
};

TEST_F(Sockets, ASecondClientIsTurnedAwayAndTheFirstGoesOn) {
  const Descriptor first = connect(".sock");
  Client client(first.get());
  EXPECT_EQ(client.read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE);
  const Descriptor second = connect(".sock");
  char byte;
  EXPECT_EQ(recv(second.get(), &byte, 1, 0), 0) << "its connection is closed";
  EXPECT_EQ(client.read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE);
}

TEST_F(Sockets, OneThatComesAsTheFirstGoesIsServed) {
  for (int i = 0; i < 20; ++i) {
    const Descriptor connection = connect(".sock");
    EXPECT_EQ(Client(connection.get()).read(SPECKV_REG_MAGIC), SPECKV_REG_MAGIC_VALUE_VALUE) << i;
  }
}

TEST_F(Sockets, LinesAndTheirAnswers) {
  const Descriptor one = connect(".control"), other = connect(".control");
  EXPECT_EQ(ask(one, "drop count=2\n"), "ok");
  EXPECT_TRUE(ask(other, "nonsense\n").starts_with("error: "));
  EXPECT_TRUE(ask(other, "status\n").starts_with("ok completions=0 "));
  EXPECT_EQ(ask(one, std::string(300, 'x')), "") << "that is no line: it is closed";
  EXPECT_EQ(ask(other, "heal\n"), "ok");
}

TEST_F(Sockets, ALinkThatIsDownIsSeenInConfigurationSpaceToo) {
  const Descriptor connection = connect(".sock"), control = connect(".control");
  Client client(connection.get());
  const auto vendor = [&] {
    client.say(Command::region_read, Answer().u64(0).u32(7).u32(2));
    testing::Bytes body;
    EXPECT_EQ(client.hear(&body), 0);
    return uint32_t(body.at(16)) | uint32_t(body.at(17)) << 8;
  };
  EXPECT_EQ(vendor(), 0x1b36u);
  EXPECT_EQ(ask(control, "link-down\n"), "ok");
  for (int i = 0; i < 1000 && vendor() != 0xffff; ++i) poll(nullptr, 0, 10);
  EXPECT_EQ(vendor(), 0xffffu);
  EXPECT_EQ(ask(control, "heal\n"), "ok");
  for (int i = 0; i < 1000 && vendor() == 0xffff; ++i) poll(nullptr, 0, 10);
  EXPECT_EQ(vendor(), 0x1b36u);
}

}  // namespace
}  // namespace speckv::device
