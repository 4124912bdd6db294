// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv-device: the codec engine as a PCI device that lives in this process. QEMU
// attaches it by its socket and hands it the guest's memory; the guest sees the registers of
// fpga/doc/registers.md.
//
//   speckv-device --socket PATH [--control PATH] [--backend golden|verilated|both]
//                 [--clock MHZ] [--latency CYCLES]
//
// --clock: `status` on the control socket says how long an engine of that clock would have been
// busy, on memories that answer after so many cycles (8): simulated time, never this machine's.
// Serves one client after another until SIGTERM or SIGINT. Whoever may connect to the control
// socket may make the device do wrong (README.md). Ends with 0, 1 when it could not begin or when
// both back ends did not do the same, 2 for wrong arguments.
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "both_backend.hpp"
#include "front.hpp"
#include "rtl_backend.hpp"

namespace {

using namespace speckv::device;

constexpr uint32_t number_max = 100'000;  // MHz, cycles: more is a slip of the hand

struct Arguments {
  std::string socket, control, backend = "golden";
  uint32_t clock_mhz = 0, latency = latency_cycles;
};

int usage() {
  std::fprintf(stderr,
               "usage: speckv-device --socket PATH [--control PATH] "
               "[--backend golden|verilated|both] [--clock MHZ] [--latency CYCLES]\n");
  return 2;
}

bool parse_number(const char* text, uint32_t* ret_number) {
  const char* end = text + std::strlen(text);
  const auto [read, error] = std::from_chars(text, end, *ret_number);
  return error == std::errc() && read == end && *ret_number >= 1 && *ret_number <= number_max;
}

bool parse(int argc, char** argv, Arguments* ret_arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return false;
    if (name == "--socket") ret_arguments->socket = argv[i + 1];
    else if (name == "--control") ret_arguments->control = argv[i + 1];
    else if (name == "--backend") ret_arguments->backend = argv[i + 1];
    else if (name == "--clock" && parse_number(argv[i + 1], &ret_arguments->clock_mhz)) continue;
    else if (name == "--latency" && parse_number(argv[i + 1], &ret_arguments->latency)) continue;
    else return false;
  }
  const std::string& backend = ret_arguments->backend;
  return !ret_arguments->socket.empty() &&
         (backend == "golden" || backend == "verilated" || backend == "both");
}

// Returns: a listener, or none, and then the reason is told.
Descriptor listener_at(const std::string& path) {
  Descriptor listener(listen_at(path));
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
  std::unique_ptr<Backend> inner = make_golden_backend(arguments.latency);
  const BothBackend* both = nullptr;
  if (arguments.backend != "golden") {
    auto engine = make_rtl_engine();
    if (!engine) {
      std::fprintf(stderr,
                   "speckv-device: this program has no Verilated engine; speckv-device-rtl has\n");
      return 1;
    }
    auto rtl = std::make_unique<RtlBackend>(std::move(engine), arguments.latency);
    if (arguments.backend == "verilated") {
      inner = std::move(rtl);
    } else {
      auto pair = std::make_unique<BothBackend>(std::move(inner), std::move(rtl));
      both = pair.get();
      inner = std::move(pair);
    }
  }
  std::printf("speckv-device: listening at %s, back end %s\n", arguments.socket.c_str(),
              arguments.backend.c_str());
  std::fflush(stdout);
  FaultBackend backend(*inner, arguments.clock_mhz);
  Server server(backend, &backend.is_link_down());
  Front(server, backend).run(asked.get(), listener.get(), control.get());
  unlink(arguments.socket.c_str());
  if (!arguments.control.empty()) unlink(arguments.control.c_str());
  if (both == nullptr) return 0;
  std::printf("speckv-device: %llu commands done twice, %llu differences\n",
              static_cast<unsigned long long>(both->compared()),
              static_cast<unsigned long long>(both->differences()));
  return both->differences() == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, &arguments)) return usage();
  return run(arguments);
}
