// SPDX-License-Identifier: Apache-2.0
// bench_main.cpp - speckv-bench [--quick] [--only TEXT] [--trace FILE] [--out FILE] [SUITE...]
//
// Runs the suites named (all, if none), prints a table and writes results.json. Exit: 0 when all
// suites ran; a goal that is missed is printed, not an error: `--strict` makes it one.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bench.hpp"
#include "codec/codec.hpp"
#include "memory.hpp"
#include "process.hpp"

namespace {

using namespace speckv::bench;

struct NamedSuite {
  const char* name;
  const char* what;
  Suite run;
};

constexpr std::array kSuites = {
    NamedSuite{"evict", "eviction policies on a trace, beside the offline optimum", suite_evict},
    NamedSuite{"size", "hit rates of other pool sizes, beside a replay of each", suite_size},
    NamedSuite{"speculate", "stalls with a tier below the pool, prefetching or not",
               suite_speculate},
    NamedSuite{"codec", "encode and decode beside memcpy, lz4, zstd, ggml", suite_codec},
    NamedSuite{"get", "reads out of a live pool beside memcpy", suite_get},
    NamedSuite{"near", "reads of blocks that stand decoded in near memory", suite_near},
    NamedSuite{"put", "what a put costs its caller, and what goes through", suite_put},
    NamedSuite{"redis", "the same objects through Redis; overhead over memcpy", suite_redis},
    NamedSuite{"spill", "the tier below the pool beside fio on the same file", suite_spill},
    NamedSuite{"exists", "lookups beside a pointer chase", suite_exists},
    NamedSuite{"keys", "keys of blocks beside SHA-256", suite_keys},
};

struct Arguments {
  Options options;
  std::string out = "build/bench/results.json";
  std::vector<std::string> suites;
  bool strict = false;
};

[[noreturn]] void usage(int status) {
  std::fprintf(status ? stderr : stdout,
               "usage: speckv-bench [--quick] [--strict] [--only TEXT] [--trace FILE] "
               "[--out FILE] [SUITE...]\n\nsuites:\n");
  for (const auto& suite : kSuites) {
    std::fprintf(status ? stderr : stdout, "  %-10s %s\n", suite.name, suite.what);
  }
  std::exit(status);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  if (const char* trace = std::getenv("TRACE")) arguments.options.trace = trace;
  auto value_of = [&](int& i) -> std::string {
    if (i + 1 < argc) return argv[++i];
    std::fprintf(stderr, "speckv-bench: %s wants a value\n", argv[i]);
    usage(2);
  };
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help") usage(0);
    if (argument == "--quick") {
      arguments.options.quick = true;
    } else if (argument == "--strict") {
      arguments.strict = true;
    } else if (argument == "--only") {
      arguments.options.text = value_of(i);
    } else if (argument == "--trace") {
      arguments.options.trace = value_of(i);
    } else if (argument == "--out") {
      arguments.out = value_of(i);
    } else if (std::any_of(kSuites.begin(), kSuites.end(),
                           [&](const auto& suite) { return argument == suite.name; })) {
      arguments.suites.push_back(argument);
    } else {
      std::fprintf(stderr, "speckv-bench: no suite or option '%s'\n", argument.c_str());
      usage(2);
    }
  }
  return arguments;
}

bool write_file(const std::string& path, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  std::ofstream out(path);
  out << text;
  return bool(out.flush());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments = parse(argc, argv);
  keep_mounts_private();
  std::error_code error;
  arguments.options.build_bin =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  std::printf("%s; decoders: %s; %s\n", machine_text().c_str(),
              std::string(speckv::codec::isa()).c_str(),
              page_size_text(Buffer(16 << 20).at(0)).c_str());
  Report report(arguments.options);
  for (const auto& suite : kSuites) {
    const auto& wanted = arguments.suites;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), suite.name) == wanted.end()) {
      continue;
    }
    suite.run(report);
  }
  report.progress("");
  std::printf("%s", report.table().c_str());
  if (!write_file(arguments.out, report.json())) {
    std::fprintf(stderr, "speckv-bench: cannot write %s; give --out a writable path\n",
                 arguments.out.c_str());
    return 1;
  }
  std::printf("%s\n", arguments.out.c_str());
  const bool all_reached = std::all_of(report.rows().begin(), report.rows().end(),
                                       [](const Row& row) { return reached(row).value_or(true); });
  return arguments.strict && !all_reached ? 3 : 0;
}
