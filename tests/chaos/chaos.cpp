// SPDX-License-Identifier: Apache-2.0
// chaos.cpp - see chaos.hpp.
#include "chaos.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tier_folder.hpp"
#include "victim.hpp"

namespace speckv::test {
namespace {

constexpr const char* keep_space = "keep";
constexpr const char* churn_space = "churn";
constexpr const char* spill_space = "spill";
constexpr uint64_t puts_wanted = 10;     // of each kind of clients, between two troubles
constexpr int progress_ms_max = 60'000;  // a loaded machine
constexpr int fate_ms_max = 1'000;       // until a store that may never come

// Sources with stores to the pool, and up to which of their stores the daemon lives.
constexpr struct {
  const char* file;
  uint64_t stores_max;
} fates[] = {{"write.cpp", 400}, {"allocate.cpp", 200},     {"evict.cpp", 200},
             {"shard.cpp", 60},  {"index_writer.cpp", 900}, {"slab_pool.cpp", 60},
             {"restart.cpp", 20}};

DaemonOptions options(uint64_t seed, const std::string& spill) {
  std::mt19937_64 random(seed);
  DaemonOptions options;
  options.program = MORTAL_PATH;
  options.data_threads = 1 + unsigned(random() % 2);
  options.pool_bytes = "8MiB";
  options.daemon_lines = "encode_threads = " + std::to_string(random() % 4) + "\n";
  const char* policies[] = {"lru", "s3fifo", "continuation"};
  for (const auto& [name, bytes] : {std::pair{keep_space, "64MiB"}, {churn_space, "16MiB"}})
    options.more += std::string("[[namespace]]\nname = \"") + name + "\"\nbytes = \"" + bytes +
                    "\"\nindex_entries = 8192\npreset = \"exact\"\npolicy = \"" +
                    policies[random() % 3] + "\"\n";
  options.more += std::string("[[namespace]]\nname = \"") + spill_space +
                  "\"\nbytes = \"24MiB\"\nindex_entries = 8192\npreset = \"exact\"\npolicy = \"" +
                  policies[random() % 3] + "\"\nspill_path = \"" + spill +
                  "\"\nspill_bytes = \"2GiB\"\nspill_entries = 65536\n";
  return options;
}

// Not in the small room of main.cpp, which a trouble fills.
std::string spill_folder() {
  std::string folder = make_tier_folder("chaos");
  if (folder.empty()) std::abort();
  return folder;
}

}  // namespace

Chaos::Chaos(uint64_t seed, bool loud)
    : seed_(seed),
      loud_(loud),
      random_(seed),
      spill_(spill_folder()),
      daemon_(options(seed, spill_ + "/spill")) {}

Chaos::~Chaos() { std::filesystem::remove_all(spill_); }

void Chaos::say(const std::string& what) const {
  if (loud_) std::fprintf(stderr, "%6llu  %s\n", (unsigned long long)deaths_, what.c_str());
}

void Chaos::fail(const std::string& what) {
  failures_++;
  std::printf("seed %llu, death %llu: %s\n", (unsigned long long)seed_, (unsigned long long)deaths_,
              what.c_str());
}

void Chaos::send_keeper(uint32_t number) {
  Habits habits;
  habits.down = true;
  habits.seed = seed_ * 16 + number;
  habits.blocks_max = number == 0 ? 300 : 80;
  if (number > 0) habits.layers = {1, 3, 12};
  keepers_.send(0, [&, habits] {
    Victim(daemon_.socket_path(), keep_space, keepers_.tally(), habits).run();
  });
}

// More than fits.
void Chaos::send_churner(uint32_t number) {
  Habits habits;
  habits.down = habits.evicted = true;
  habits.seed = seed_ * 16 + number;
  habits.blocks_max = 3000;
  habits.layers = {3, 9, 1};
  churners_.send(0, [&, habits] {
    Victim(daemon_.socket_path(), churn_space, churners_.tally(), habits).run();
  });
}

// More than its pool has room for.
void Chaos::send_spiller(uint32_t number) {
  Habits habits;
  habits.down = habits.spilled = true;
  habits.seed = seed_ * 16 + number;
  habits.blocks_max = 1200;
  habits.layers = {3, 9, 1};
  spillers_.send(0, [&, habits] {
    Victim(daemon_.socket_path(), spill_space, spillers_.tally(), habits).run();
  });
}

// A line of a mortal daemon says where it died.
void Chaos::note_death() {
  deaths_++;
  const std::string log = daemon_.log(), mark = "mortal: ";
  for (size_t at = log.find(mark, log_read_); at != std::string::npos; at = log.find(mark, at + 1))
    sites_[log.substr(at + mark.size(), log.find('\n', at) - at - mark.size())]++;
  log_read_ = log.size();
}

void Chaos::live() {
  daemon_.set_environment({});
  if (!daemon_.start()) fail("it does not start: " + daemon_.log().substr(log_read_));
}

void Chaos::live_until_fate() {
  const auto& fate = fates[below(std::size(fates))];
  const uint64_t store = 1 + below(below(2) ? 8 : fate.stores_max);
  const std::string text = fate.file + (":" + std::to_string(store));
  say("lives until " + text);
  daemon_.set_environment({"SPECKV_MORTAL=" + text});
  if (daemon_.start() && !daemon_.wait_end(fate_ms_max)) daemon_.kill();
  note_death();
}

// Everybody is served again.
void Chaos::wait_for_progress() {
  const uint64_t kept = keepers_.tally().puts, churned = churners_.tally().puts;
  const uint64_t spilled = spillers_.tally().puts;
  for (int i = 0; i < progress_ms_max && all_is_well(); i++, usleep(1000))
    if (keepers_.tally().puts >= kept + puts_wanted &&
        churners_.tally().puts >= churned + puts_wanted &&
        spillers_.tally().puts >= spilled + puts_wanted)
      return;
  if (all_is_well()) fail("clients are not served: " + daemon_.log().substr(log_read_));
}

bool Chaos::run(uint64_t deaths) {
  live();
  for (uint32_t i = 0; i < 2; i++) send_keeper(clients_++);
  for (uint32_t i = 0; i < 2; i++) send_churner(clients_++);
  for (uint32_t i = 0; i < 2; i++) send_spiller(clients_++);
  uint32_t weights = 0;
  for (const Trouble* each = troubles; each->name; each++) weights += each->weight;
  while (deaths_ < deaths && all_is_well()) {
    wait_for_progress();
    uint64_t pick = below(weights);
    const Trouble* trouble = troubles;
    while (pick >= trouble->weight) pick -= trouble++->weight;
    say(trouble->name);
    happened_[trouble->name]++;
    (this->*trouble->happen)();
  }
  wait_for_progress();
  keepers_.end();
  churners_.end();
  spillers_.end();
  return verdict();
}

bool Chaos::all_is_well() const {
  uint64_t bad = failures_;
  for (const Roles* roles : {&keepers_, &churners_, &spillers_}) {
    const Tally& tally = roles->tally();
    bad += tally.wrong + tally.lost + tally.ghosts + tally.unanswered;
  }
  return bad == 0;
}

bool Chaos::verdict() {
  const Tally &keep = keepers_.tally(), &churn = churners_.tally(), &spill = spillers_.tally();
  const uint64_t wrong = keep.wrong + churn.wrong + spill.wrong;
  const uint64_t ghosts = keep.ghosts + churn.ghosts + spill.ghosts;
  const uint64_t unanswered = keep.unanswered + churn.unanswered + spill.unanswered;
  std::printf(
      "seed %llu: %llu deaths at %zu stores; %llu puts, %llu gets, %llu removals, %llu sent "
      "down;",
      (unsigned long long)seed_, (unsigned long long)deaths_, sites_.size(),
      (unsigned long long)(keep.puts + churn.puts + spill.puts),
      (unsigned long long)(keep.gets + churn.gets + spill.gets),
      (unsigned long long)(keep.removals + churn.removals + spill.removals),
      (unsigned long long)spill.sent_down.load());
  for (const auto& [name, count] : happened_)
    std::printf(" %s %llu,", name.c_str(), (unsigned long long)count);
  std::printf(" wrong %llu, lost %llu, back again %llu, unanswered %llu\n",
              (unsigned long long)wrong, (unsigned long long)(keep.lost + spill.lost),
              (unsigned long long)ghosts, (unsigned long long)unanswered);
  if (loud_)
    for (const auto& [site, count] : sites_)
      std::printf("  %6llu  %s\n", (unsigned long long)count, site.c_str());
  return all_is_well();
}

}  // namespace speckv::test
