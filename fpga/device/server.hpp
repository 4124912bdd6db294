// SPDX-License-Identifier: Apache-2.0
// server.hpp - the device on a unix socket: one client (QEMU) at a time, two threads.
//
// The thread that calls serve() reads messages and answers them; a register never waits for a
// command. Another one runs commands and delivers their interrupts, and sleeps while there are
// none. A client that breaks off, or whose messages cannot be told apart any more, is forgotten:
// the device is then as after power-on, for the next client.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "device.hpp"

namespace speckv::device {

class Server {
 public:
  explicit Server(Backend& backend, const std::atomic<bool>* is_off_bus = nullptr);
  ~Server();

  // Serves this client until it goes. connection: a connected stream socket; closed at the end.
  void serve(Descriptor connection);
  // serve() ends soon, from any thread.
  void stop();
  // Whether there is anything to do is looked up again, from any thread.
  void wake();

  DmaMap& memory() { return memory_; }

 private:
  // Returns: false, the client has gone, or nothing that it says can be understood.
  bool receive(int connection, std::vector<std::byte>* ret_bytes,
               std::vector<Descriptor>* ret_descriptors);
  bool read_all(int connection, std::span<std::byte> into,
                std::vector<Descriptor>* ret_descriptors);
  bool send_all(int connection, std::span<const std::byte> bytes);
  void run_commands();

  Backend& backend_;
  DmaMap memory_;
  Device device_;
  std::atomic<bool> is_stopping_{false};
  Descriptor stop_event_;
  std::mutex wake_lock_;
  std::condition_variable wake_;
  bool is_awake_ = false;
  std::thread worker_;
};

// Returns: a listening socket, -1 with errno. A stale socket at the path is removed, any other file
// is not.
int listen_at(const std::string& path);

}  // namespace speckv::device
