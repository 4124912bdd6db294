// SPDX-License-Identifier: Apache-2.0
// daemon.cpp - see daemon.hpp.
#include "loop/daemon.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>

#include <spdlog/spdlog.h>

#include "loop/clock.hpp"
#include "loop/cores.hpp"
#include "loop/preflight.hpp"
#include "loop/supervisor.hpp"
#include "pool/mapped_region.hpp"
#include "pool/start_plan.hpp"
#include "shm/atomics.hpp"

namespace speckv {

namespace {
constexpr const char* kept_name = "speckv-pool";

std::string mount_path(const config::Config& config) {
  const MediumOptions& options = config.pool.medium;
  return options.path.empty() || options.kind != "shm" ? config.daemon.runtime_dir + "/pool"
                                                       : options.path;
}

WantedSpace wanted_space(const config::NamespaceConfig& space) {
  return {space.name, space.bytes, space.index_entries,
          Readers(space.anyone, space.uids, space.gids)};
}

// Keys fall on shards by chance: each has room for twice its part, and the namespace's limit
// counts.
uint32_t holds_of_shard(uint32_t holds, uint32_t shards) {
  return shards == 1 ? holds : std::min(holds, 2 * (holds / shards) + 16);
}
}  // namespace

std::vector<std::string> Daemon::what_a_start_drops(const config::Config& config) {
  std::vector<WantedSpace> wanted;
  for (const config::NamespaceConfig& space : config.namespaces)
    wanted.push_back(wanted_space(space));
  MediumOptions options = config.pool.medium;
  options.path = mount_path(config);
  return speckv::what_a_start_drops(options, wanted, config.daemon.data_threads);
}

Daemon::Daemon(config::Config config) : config_(std::move(config)) {}

Daemon::~Daemon() {
  if (undertaker_) undertaker_->leave_memory();
  for (auto& thread : threads_) thread->stop();
  losses_.reset();
  control_.reset();  // sessions end while data threads' mailboxes still exist
  threads_.clear();
}

Status Daemon::start() {
  started_ns_ = monotonic_ns();
  const Status machine = check_machine(config_);
  if (!machine.ok()) return machine;
  if (const std::string missing = fds_missing(config_); !missing.empty())
    spdlog::warn("{}", missing);
  if (mkdir(config_.daemon.runtime_dir.c_str(), 0755) != 0 && errno != EEXIST)
    return Status::from_errno("mkdir " + config_.daemon.runtime_dir +
                              " ([daemon] runtime_dir; the folder above it must exist)");
  MediumOptions options = config_.pool.medium;
  for (const std::string& line : what_a_start_drops(config_)) spdlog::warn("{}", line);
  if (options.kind == "shm") options.path = mount_path(config_);
  else pool::drop_our_mount(mount_path(config_));
  options.kept_fd = take_kept_fd(kept_name);
  const Status spills = spills_.open(config_);
  if (!spills.ok()) return spills;
  auto medium = make_medium(options);
  if (!medium.ok()) return medium.status();
  medium_ = std::move(medium.value());
  Status status = open_spaces();
  const int to_keep = medium_->fd_to_keep();
  if (status.ok() && to_keep >= 0 && to_keep != options.kept_fd) keep_fd(kept_name, to_keep);
  if (status.ok()) status = start_threads();
  if (!status.ok()) return status;
  control_ = std::make_unique<Control>(config_, *medium_, spaces_, threads_, *undertaker_);
  if (!config_.daemon.tables.empty()) status = control_->load_calibrations(config_.daemon.tables);
  if (status.ok() && config_.daemon.measure_widths)
    status = control_->measure_in(config_.daemon.runtime_dir + "/widths");
  if (status.ok()) status = control_->listen();
  losses_ = std::make_unique<LossWatch>(control_->context(), *medium_, spaces_, threads_);
  if (status.ok())
    spdlog::info("speckvd listens on {}; medium: {}; isolation {}; codec {}", config_.daemon.socket,
                 medium_->describe(), medium_->isolation(), codec::isa());
  return status;
}

Status Daemon::open_spaces() {
  std::vector<std::string> names;
  for (const config::NamespaceConfig& wanted : config_.namespaces)
    names.push_back(pool_name(wanted.name));
  for (const std::string& name : Engines::region_names(config_)) names.push_back(name);
  for (const std::string& line : medium_->keep_only(names)) spdlog::info("{}", line);
  for (const config::NamespaceConfig& wanted : config_.namespaces) {
    auto space = open_namespace(*medium_, wanted_space(wanted), config_.daemon.data_threads,
                                !wanted.spill_path.empty(), wanted.near_bytes);
    if (!space.ok()) return space.status();
    if (!space.value().not_kept.empty())
      spdlog::warn("namespace {}: its blocks went: the pool {}", wanted.name,
                   space.value().not_kept);
    spaces_.push_back(std::move(space.value()));
  }
  return {};
}

Status Daemon::start_threads() {
  const uint32_t shards = config_.daemon.data_threads;
  const EncodeThreads encoders = encode_threads(config_.daemon, usable_cores());
  const uint32_t workers = encoders.count;
  spdlog::info("encode_threads {}", encoders.text);
  if (!encoders.warning.empty()) spdlog::warn("{}", encoders.warning);
  const Status engines = engines_.open(config_, *medium_, workers);
  if (!engines.ok()) return engines;
  undertaker_ = std::make_unique<Undertaker>();
  hold_rooms_.push_back(std::make_unique<HoldRoom>(*config_.session.holds_max));
  for (const config::NamespaceConfig& space : config_.namespaces)
    hold_rooms_.push_back(std::make_unique<HoldRoom>(*space.holds_max, hold_rooms_[0].get()));
  std::vector<std::vector<LostRange>> lost;  // before anybody looks for blocks there
  for (Namespace& space : spaces_) lost.push_back(LossWatch::take_lost(space));
  std::vector<Made> made;
  for (uint32_t shard = 0; shard < shards; shard++)
    made.push_back(make_shards(shard, workers * (shard + 1) / shards - workers * shard / shards));
  restore(made);
  for (uint32_t shard = 0; shard < shards; shard++) {
    for (size_t i = 0; i < spaces_.size(); i++) {
      Shard& part = *made[shard].parts[i].shard;
      if (spaces_[i].taken_over)
        spdlog::info(
            "namespace {} shard {}: {} blocks restored, {} dropped for want of index entries",
            spaces_[i].name, shard, part.counters().restored.load(),
            part.counters().not_restored.load());
      for (const LostRange& range : lost[i]) part.lose(range.offset, range.bytes);
    }
    threads_.push_back(std::make_unique<DataThread>(shard, std::move(made[shard].parts),
                                                    std::move(made[shard].engine)));
    const uint64_t prefetch_bytes_s = config_.session.prefetch_bytes_s;
    if (prefetch_bytes_s != limits::not_limited)
      threads_.back()->share_prefetch((prefetch_bytes_s - made[shard].guaranteed) / shards);
    Status status = threads_.back()->start();
    if (!status.ok()) return status;
  }
  return {};
}

// A data thread's part of each namespace.
Daemon::Made Daemon::make_shards(uint32_t shard, uint32_t workers) {
  const uint32_t shards = config_.daemon.data_threads;
  Made made;
  made.engine = engines_.make(shard, workers);
  for (size_t i = 0; i < spaces_.size(); i++) {
    Namespace& space = spaces_[i];
    const config::NamespaceConfig& wanted = config_.namespaces[i];
    ShardOptions options;
    options.pool = space.pool->data();
    options.index = space.index->data();
    options.shard = shard;
    options.first_unit = space.first_unit(shard);
    options.units = space.units_of(shard);
    options.blocks_max = uint32_t(wanted.index_entries / shards + 1);
    options.policy = wanted.policy;
    options.hold_room = hold_rooms_[i + 1].get();
    options.holds_max = holds_of_shard(*wanted.holds_max, shards);
    options.retained_bytes_max = wanted.retained_bytes_max / shards;
    options.size_samples = config::size_samples_of_shard(wanted, shards);
    options.hold_ns_max = config_.session.hold_ms_max * 1'000'000;
    options.engine = made.engine.get();
    if (space.near)
      options.near =
          NearOptions{space.near->data(), space.near_gate.get(), space.near_first_unit(shard),
                      space.near_units_of(shard), wanted.near_after_hits};
    spills_.tell(config_, i, shard, &options);
    options.on_measured = [this] { control_->measured(); };  // sessions come after control_
    made.parts.push_back({std::make_unique<Shard>(options),
                          reinterpret_cast<shm::IndexHeader*>(space.index->data()),
                          wanted.prefetch_keys_max / shards + 1, wanted.prefetch_bytes_s / shards,
                          wanted.prefetch_bytes_s_min / shards});
    made.guaranteed += wanted.prefetch_bytes_s_min;
  }
  return made;
}

// What earlier daemons left is found again by as many threads as there are cores: shards share
// nothing.
void Daemon::restore(std::vector<Made>& made) {
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t shard = next++; shard < made.size(); shard = next++)
      for (size_t i = 0; i < spaces_.size(); i++)
        if (spaces_[i].taken_over) made[shard].parts[i].shard->restore(monotonic_ns());
  };
  const bool any = std::any_of(spaces_.begin(), spaces_.end(),
                               [](const Namespace& space) { return space.taken_over; });
  const size_t threads = any ? std::min<size_t>(usable_cores(), made.size()) : 1;
  std::vector<std::thread> others;
  try {
    while (others.size() + 1 < threads) others.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads to be had: it takes longer
  }
  work();
  for (std::thread& other : others) other.join();
}

void Daemon::run() { control_->run(); }

void Daemon::stop() {
  boost::asio::post(control_->context(), [this] { control_->stop(); });
}

}  // namespace speckv
