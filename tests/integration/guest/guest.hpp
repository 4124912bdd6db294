// SPDX-License-Identifier: Apache-2.0
// guest.hpp - what the tests in the virtual machine share: real blocks, processes of other uids,
// and the card.
//
// Blocks are pages of SmolLM2-135M (tests/vectors), so that what is compared is what a server would
// store. Everything here is for a guest that is thrown away: it pulls cards and poisons memory.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "lib/client.hpp"
#include "shm/wire.hpp"

namespace speckv::test {

constexpr uid_t uid_speckv = 1003, uid_one = 1001, uid_two = 1002;
constexpr uint64_t real_blocks = 126;  // different ones that the pages give

speckv_layout real_layout(uint32_t preset = SPECKV_PRESET_EXACT);

// Memory for one block, [layer][K|V][head][token][channel].
class RealBlock {
 public:
  RealBlock();
  void fill(uint64_t number);  // < real_blocks
  bool is(uint64_t number) const;
  uint64_t sum() const;  // of its bytes
  void forget() { std::fill(memory_.begin(), memory_.end(), uint8_t(0xee)); }
  speckv_buf buf() { return {0, uint32_t(views_.size() / 2), views_.data()}; }
  size_t bytes() const { return memory_.size(); }

 private:
  std::vector<uint8_t> memory_;
  std::vector<speckv_view> views_;
};

// A session and its layout, in the process that makes it.
class RealClient {
 public:
  RealClient(const std::string& socket_path, const char* space,
             uint32_t preset = SPECKV_PRESET_EXACT);
  int opened() const { return client_.opened(); }
  Client& client() { return client_; }
  const RealBlock& block() const { return block_; }  // what was read last
  // Returns: 0 or a negative errno, once the daemon has answered.
  int put(uint64_t number);
  // Returns: 0, -ENOENT and so on; 1 when the bytes are not those of the block.
  int get(uint64_t number);
  int put_all(uint64_t count);              // Returns: how many are stored
  int get_all(uint64_t count, int* wrong);  // Returns: how many hit
  // Waits until the library has found a daemon again. Returns: false after 20 s.
  bool reconnected(uint64_t before);

 private:
  Client client_;
  uint32_t layout_ = 0;
  RealBlock block_;
};

// Runs body in a child of another uid. run_as() returns its exit status, or 200 + the signal.
pid_t spawn_as(uid_t uid, const std::function<int()>& body);
int wait_for(pid_t child);
inline int run_as(uid_t uid, const std::function<int()>& body) {
  return wait_for(spawn_as(uid, body));
}

// Memory that children share with us.
void* shared_memory(size_t bytes);

bool eventually(const std::function<bool()>& condition);  // Returns: false after 30 s
std::string read_file(const std::string& path);           // "" when there is none
uint64_t region_bytes(const char* what);                  // a *_bytes attribute of speckv0
pid_t listener(const std::string& socket_path);           // who answers there
// A field of the daemon's answer to `status`; 0 when it is not there.
uint64_t status_field(const std::string& socket_path, const std::string& name);

// A session by hand: what a client has that does not use the library. pool -1: refused.
struct RawSession {
  wire::Welcome welcome{};
  int pool = -1;
};
RawSession say_hello(const std::string& socket_path, const char* space);

bool pull_card();              // by QEMU's own port; returns when the kernel has let go of it
bool poison(uint64_t offset);  // of the region, through the driver

// An extent daemon as its own user, with the namespaces `default` of uid_one and `two` of uid_two.
// engine: lines of [engine].
DaemonOptions extent_daemon(const std::string& bytes_each = "64MiB",
                            const std::string& engine = "kind = \"cpu\"\n");

}  // namespace speckv::test
