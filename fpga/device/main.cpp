// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv-device: the codec engine as a PCI device that lives in this process. QEMU
// attaches it by its socket and hands it the guest's memory; the guest sees the registers of
// fpga/doc/registers.md.
//
//   speckv-device --socket PATH
//
// Serves one client after another until SIGTERM or SIGINT. Ends with 0, 1 when it could not begin,
// 2 for wrong arguments.
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "server.hpp"

namespace {

using speckv::device::Descriptor;

int usage() {
  std::fprintf(stderr, "usage: speckv-device --socket PATH\n");
  return 2;
}

int run(const std::string& path) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const Descriptor asked(signalfd(-1, &signals, SFD_CLOEXEC));
  const Descriptor listener(speckv::device::listen_at(path));
  if (listener.get() < 0) {
    std::fprintf(stderr, "speckv-device: cannot listen at '%s': %s\n", path.c_str(),
                 std::strerror(errno));
    return 1;
  }
  std::printf("speckv-device: listening at %s, golden model\n", path.c_str());
  std::fflush(stdout);
  const auto backend = speckv::device::make_golden_backend();
  speckv::device::Server server(*backend);
  std::thread clients([&] {
    for (;;) {
      Descriptor client(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (client.get() < 0) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        return;
      }
      server.serve(std::move(client));
    }
  });
  pollfd signal{asked.get(), POLLIN, 0};
  while (poll(&signal, 1, -1) < 0 && errno == EINTR) {
  }
  server.stop();
  shutdown(listener.get(), SHUT_RDWR);
  clients.join();
  unlink(path.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::strcmp(argv[1], "--socket") != 0) return usage();
  return run(argv[2]);
}
