// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv-device: the codec engine as a PCI device that lives in this process. QEMU
// attaches it by its socket and hands it the guest's memory; the guest sees the registers of
// fpga/doc/registers.md.
//
//   speckv-device --socket PATH [--control PATH]
//
// Serves one client after another until SIGTERM or SIGINT. Whoever may connect to the control
// socket may make the device do wrong (README.md). Ends with 0, 1 when it could not begin, 2 for
// wrong arguments.
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "front.hpp"

namespace {

using speckv::device::Descriptor;

struct Arguments {
  std::string socket, control;
};

int usage() {
  std::fprintf(stderr, "usage: speckv-device --socket PATH [--control PATH]\n");
  return 2;
}

bool parse(int argc, char** argv, Arguments* ret_arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return false;
    if (name == "--socket") ret_arguments->socket = argv[i + 1];
    else if (name == "--control") ret_arguments->control = argv[i + 1];
    else return false;
  }
  return !ret_arguments->socket.empty();
}

// Returns: a listener, or none, and then the reason is told.
Descriptor listener_at(const std::string& path) {
  Descriptor listener(speckv::device::listen_at(path));
  if (listener.get() < 0)
    std::fprintf(stderr, "speckv-device: cannot listen at '%s': %s\n", path.c_str(),
                 std::strerror(errno));
  return listener;
}

int run(const Arguments& arguments) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const Descriptor asked(signalfd(-1, &signals, SFD_CLOEXEC));
  const Descriptor listener = listener_at(arguments.socket);
  if (listener.get() < 0) return 1;
  Descriptor control;
  if (!arguments.control.empty()) {
    control = listener_at(arguments.control);
    if (control.get() < 0) return 1;
  }
  std::printf("speckv-device: listening at %s, golden model\n", arguments.socket.c_str());
  std::fflush(stdout);
  const auto inner = speckv::device::make_golden_backend();
  speckv::device::FaultBackend backend(*inner);
  speckv::device::Server server(backend, &backend.is_link_down());
  speckv::device::Front(server, backend).run(asked.get(), listener.get(), control.get());
  unlink(arguments.socket.c_str());
  if (!arguments.control.empty()) unlink(arguments.control.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, &arguments)) return usage();
  return run(arguments);
}
