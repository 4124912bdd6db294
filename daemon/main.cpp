// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckvd, as a table of contents: read the configuration, start, serve, stop.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <system_error>

#include <spdlog/spdlog.h>

#include "config/config.hpp"
#include "loop/control_engines.hpp"
#include "loop/control_guesses.hpp"
#include "loop/control_watchdog.hpp"
#include "loop/cores.hpp"
#include "loop/daemon.hpp"
#include "loop/live_view.hpp"
#include "loop/notify.hpp"
#include "loop/preflight.hpp"
#include "session/control_requests.hpp"
#include "standard_fds.hpp"
#include "watch/watch.hpp"

namespace {

constexpr const char* usage =
    "usage: speckvd [--config FILE] [--check-config FILE] [--version] [--help]\n"
    "Keeps LLM servers' KV blocks: docs in speckvd(8) and speckvd.toml(5).\n"
    "Without --config: /etc/speckv/speckvd.toml if it is there, else one namespace \"default\" of "
    "256 MiB.\n";

constexpr const char* config_path_default = "/etc/speckv/speckvd.toml";

struct Arguments {
  std::string config_path;
  bool check_only = false;
};

// Returns: -1 to go on, else the exit status.
int parse_arguments(int count, char** values, Arguments* ret_arguments) {
  for (int i = 1; i < count; i++) {
    const std::string word = values[i];
    if (word == "--help") return std::fputs(usage, stdout), 0;
    if (word == "--version") return std::puts("speckvd " SPECKV_VERSION), 0;
    if ((word == "--config" || word == "--check-config") && i + 1 < count) {
      ret_arguments->config_path = values[++i];
      ret_arguments->check_only = word == "--check-config";
      continue;
    }
    std::fprintf(stderr, "speckvd: unknown or incomplete argument: %s\n%s", word.c_str(), usage);
    return 2;
  }
  return -1;
}

speckv::Result<speckv::config::Config> read_config(const Arguments& arguments) {
  const speckv::config::KnownNames known = speckv::config::known_names();
  if (!arguments.config_path.empty())
    return speckv::config::load_config(arguments.config_path, known);
  auto standard = speckv::config::load_config(config_path_default, known);
  if (!standard.ok() && standard.status().error() == ENOENT)
    return speckv::config::default_config(known);
  return standard;
}

// The metrics page. Without it the daemon still serves: nobody should lose a cache to a taken port.
void watch_at(const speckv::config::DaemonConfig& config, speckv::watch::Watch& watch) {
  if (config.metrics_port == 0) return;
  const speckv::Status status = watch.start(config.metrics_host, config.metrics_port);
  if (!status.ok()) spdlog::warn("no metrics: {}", status.text());
}

// SIGHUP: the level of the log is read again; everything else waits for a restart.
void reload_level(const Arguments& arguments) {
  const auto config = read_config(arguments);
  if (!config.ok()) return spdlog::error("SIGHUP: the log level stays: {}", config.status().text());
  spdlog::set_level(spdlog::level::from_str(config.value().daemon.log_level));
  spdlog::info("SIGHUP: log level {}; other changes need a restart",
               config.value().daemon.log_level);
}

void on_hangup(boost::asio::signal_set& hangup, const Arguments& arguments) {
  hangup.async_wait([&](boost::system::error_code error, int) {
    if (error) return;
    reload_level(arguments);
    on_hangup(hangup, arguments);
  });
}

// What a start would refuse is refused here, too.
int check_only(const speckv::config::Config& config) {
  std::fputs(speckv::config::describe(config).c_str(), stdout);
  std::printf("memory at start  %llu MiB\n",
              static_cast<unsigned long long>(speckv::memory_bytes_now(config) >> 20));
  std::printf("descriptors      %llu wanted, %llu allowed\n",
              static_cast<unsigned long long>(speckv::fds_wanted(config)),
              static_cast<unsigned long long>(speckv::fd_limit()));
  for (const std::string& line : speckv::Daemon::what_a_start_drops(config))
    std::printf("a start drops    %s\n", line.c_str());
  const auto encoders = speckv::encode_threads(config.daemon, speckv::usable_cores());
  std::printf("encode_threads   %s\n", encoders.text.c_str());
  if (!encoders.warning.empty()) std::printf("warning: %s\n", encoders.warning.c_str());
  const std::string missing = speckv::fds_missing(config);
  if (!missing.empty()) std::printf("warning: %s\n", missing.c_str());
  const speckv::Status machine = speckv::check_machine(config);
  if (machine.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", config.source.c_str(), machine.text().c_str());
  return 1;
}

int serve(speckv::config::Config config, const Arguments& arguments) {
  speckv::Daemon daemon(std::move(config));
  const speckv::Status started = daemon.start();
  if (!started.ok()) {
    std::fprintf(stderr, "speckvd: %s\n", started.text().c_str());
    return 1;
  }
  speckv::LiveView view(daemon);
  daemon.control().set_answer(
      [&view](std::string_view request) { return speckv::answer_control(view, request); });
  speckv::watch::HttpLimits scrapers;
  scrapers.connections_max = daemon.config().daemon.metrics_connections_max;
  speckv::watch::Watch watch(view, daemon.control().context(), speckv::watch::stalled_after_ms,
                             scrapers);
  view.count_scrapers([&watch] { return watch.connections(); });
  watch_at(daemon.config().daemon, watch);
  speckv::GuessWatch guesses(daemon.control().context(), view);
  guesses.start();
  speckv::EngineWatch engines(daemon.control().context(), view,
                              [&daemon] { daemon.engines().attach_again(); });
  engines.start();
  speckv::Watchdog watchdog(daemon.control().context(), view);
  watchdog.start();
  boost::asio::signal_set signals(daemon.control().context(), SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code error, int number) {
    if (error) return;
    spdlog::info("signal {}: stopping", number);
    speckv::notify("STOPPING=1");
    daemon.stop();
  });
  boost::asio::signal_set hangup(daemon.control().context(), SIGHUP);
  on_hangup(hangup, arguments);
  speckv::notify("READY=1");
  daemon.run();
  return 0;
}

}  // namespace

int main(int count, char** values) {
  if (!speckv::open_standard_fds()) return 1;
  std::signal(SIGPIPE, SIG_IGN);  // who reads the log may go; clients need the daemon
  std::signal(SIGHUP, SIG_IGN);   // until it can be served
  speckv::raise_fd_limit();
  Arguments arguments;
  const int done = parse_arguments(count, values, &arguments);
  if (done >= 0) return done;
  try {
    auto config = read_config(arguments);
    if (!config.ok()) {
      std::fprintf(stderr, "%s\n", config.status().text().c_str());
      return 1;
    }
    if (arguments.check_only) return check_only(config.value());
    spdlog::set_level(spdlog::level::from_str(config.value().daemon.log_level));
    spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    return serve(std::move(config.value()), arguments);
  } catch (const std::system_error& error) {  // of a thread that could not be made, mostly
    std::fprintf(stderr,
                 "speckvd: the system refuses a thread or a descriptor: %s: see RLIMIT_NPROC, "
                 "RLIMIT_AS and TasksMax\n",
                 error.what());
    return 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr,
                 "speckvd: the system has no memory, or no address space, for the daemon's own "
                 "tables: see RLIMIT_AS, MemoryMax and vm.overcommit_memory, or make pools and "
                 "index_entries smaller\n");
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "speckvd: %s\n", error.what());
    return 1;
  }
}
