// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv_sim FIRST COUNT: runs so many seeds, prints the first that fails, its trace
// when shrunk, and how to see it again. speckv_sim SEED: one seed with its trace.
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "simulation.hpp"

namespace {

using namespace speckv::sim;

// A seed takes a fraction of a second; one that takes so many of CPU time does not end.
constexpr time_t seed_seconds_max = 60;
uint64_t running = 0;

// An assertion of the product, a crash, or a seed that does not end: which it was.
void died(int number) {
  const std::string line =
      text("seed %llu: %s; its trace: make sim SEED=%llu\n", (unsigned long long)running,
           number == SIGABRT     ? "an assertion"
           : number == SIGVTALRM ? "it does not end"
                                 : "a crash",
           (unsigned long long)running);
  static_cast<void>(!write(STDOUT_FILENO, line.data(), line.size()));
  _exit(1);
}

void watch_for_death() {
  for (int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGVTALRM}) std::signal(number, died);
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return double(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         double(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

struct Outcome {
  std::string contradiction;  // empty: none
  uint64_t operations = 0, steps = 0, hits = 0, brought = 0;
  uint32_t clients = 0, lives = 0;
};

Outcome run(uint64_t seed, const Limits& limits) {
  running = seed;
  const itimerval limit{{0, 0}, {seed_seconds_max, 0}};
  setitimer(ITIMER_VIRTUAL, &limit, nullptr);
  Simulation simulation(seed, limits);
  Outcome outcome;
  try {
    simulation.run();
  } catch (const Contradiction& contradiction) {
    outcome.contradiction = contradiction.what();
  }
  outcome.operations = simulation.operations();
  outcome.steps = simulation.steps();
  outcome.hits = simulation.hits();
  outcome.clients = simulation.clients();
  outcome.lives = simulation.lives();
  outcome.brought = simulation.brought_near();
  return outcome;
}

// Fewer steps, clients and kinds of trouble, as long as something is still contradicted.
Limits shrink(uint64_t seed, const Outcome& failed) {
  Limits best;
  best.steps = failed.steps + 1;
  best.clients = failed.clients;
  const auto try_it = [&](Limits limits) {
    const Outcome outcome = run(seed, limits);
    if (outcome.contradiction.empty()) return false;
    best = limits;
    best.steps = std::min(limits.steps, outcome.steps + 1);
    return true;
  };
  for (bool better = true; better;) {
    better = false;
    for (uint32_t feature = 1; feature <= all_features; feature <<= 1) {
      Limits fewer = best;
      fewer.features &= ~feature;
      if (fewer.features != best.features) better = try_it(fewer) || better;
    }
    for (uint32_t clients = 1; clients < best.clients; clients++) {
      Limits fewer = best;
      fewer.clients = clients;
      if (try_it(fewer)) better = true;
    }
    for (uint64_t part = 2; part <= 16; part *= 2) {
      Limits fewer = best;
      fewer.steps -= fewer.steps / part;
      if (fewer.steps < best.steps) better = try_it(fewer) || better;
    }
  }
  return best;
}

int replay(uint64_t seed, Limits limits) {
  limits.trace = true;
  const Outcome outcome = run(seed, limits);
  std::printf(
      "seed %llu: %s\n", (unsigned long long)seed,
      outcome.contradiction.empty() ? "nothing is contradicted" : outcome.contradiction.c_str());
  return outcome.contradiction.empty() ? 0 : 1;
}

int fail(uint64_t seed, const Outcome& failed) {
  std::printf("seed %llu, step %llu: %s\n", (unsigned long long)seed,
              (unsigned long long)failed.steps, failed.contradiction.c_str());
  if (std::getenv("SPECKV_SIM_NO_SHRINK")) return 1;
  const Limits least = shrink(seed, failed);
  std::printf("shrunk to %llu steps, %u clients, trouble %#x; its trace:\n",
              (unsigned long long)least.steps, least.clients, least.features);
  std::fflush(stdout);
  replay(seed, least);
  std::printf("again: make sim SEED=%llu\n", (unsigned long long)seed);
  return 1;
}

int run_all(uint64_t first, uint64_t count) {
  Outcome sum;
  const double before = cpu_seconds();
  for (uint64_t seed = first; seed < first + count; seed++) {
    const Outcome outcome = run(seed, {});
    if (!outcome.contradiction.empty()) return fail(seed, outcome);
    sum.operations += outcome.operations;
    sum.hits += outcome.hits;
    sum.lives += outcome.lives;
    sum.brought += outcome.brought;
  }
  const double seconds = cpu_seconds() - before;
  std::printf(
      "%llu seeds from %llu: %llu operations, %llu blocks read, %llu brought near, %llu kills; "
      "%.1f CPU "
      "seconds, %.0f operations a CPU minute\n",
      (unsigned long long)count, (unsigned long long)first, (unsigned long long)sum.operations,
      (unsigned long long)sum.hits, (unsigned long long)sum.brought,
      (unsigned long long)(sum.lives - count), seconds, double(sum.operations) / seconds * 60);
  return 0;
}

}  // namespace

int main(int arguments, char** argument) {
  if (arguments < 2 || arguments > 3) {
    std::fprintf(stderr, "speckv_sim SEED: one seed with its trace\nspeckv_sim FIRST COUNT\n");
    return 2;
  }
  watch_for_death();
  const uint64_t first = std::strtoull(argument[1], nullptr, 10);
  if (arguments == 3) return run_all(first, std::strtoull(argument[2], nullptr, 10));
  if (replay(first, {}) == 0) return 0;
  return fail(first, run(first, {}));
}
