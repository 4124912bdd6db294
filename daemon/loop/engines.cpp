// SPDX-License-Identifier: Apache-2.0
// engines.cpp - see engines.hpp.
#include "loop/engines.hpp"

#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <spdlog/spdlog.h>

#include "loop/engine_choice.hpp"
#include "loop/io_ring.hpp"

namespace speckv {

namespace {

std::string staging_name(uint32_t shard) { return "engine-" + std::to_string(shard) + ".staging"; }

Result<speckv_engine_info> attach(int fd) {
  speckv_engine_info info{};
  info.flags = SPECKV_ENGINE_ATTACH;
  if (ioctl(fd, SPECKV_IOC_ENGINE, &info) == 0) return info;
  if (errno == ENODEV) return Status(ENODEV, "the driver has no codec engine");
  return Status::from_errno("attaching the driver's codec engine");
}

// A daemon that died left commands with the engine, which may still write to slots that are free
// now. Each has a deadline, and after that a reset.
void wait_for_earlier(int fd) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(15);
  bool told = false;
  for (;;) {
    speckv_engine_info info{};
    if (ioctl(fd, SPECKV_IOC_ENGINE, &info) != 0 || info.in_flight == 0) return;
    if (!std::exchange(told, true))
      spdlog::info("the engine still works on {} commands of an earlier daemon: waiting for them",
                   info.in_flight);
    if (std::chrono::steady_clock::now() > until) {
      spdlog::warn(
          "{} commands of an earlier daemon have no end: what the engine writes for them spoils "
          "blocks, which readers then miss; unbind it and start speckvd again",
          info.in_flight);
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

std::vector<std::string> Engines::region_names(const config::Config& config) {
  std::vector<std::string> names;
  if (!config::may_have_device(config)) return names;
  for (uint32_t shard = 0; shard < config.daemon.data_threads; shard++)
    names.push_back(staging_name(shard));
  return names;
}

Status Engines::open(const config::Config& config, Medium& medium, uint32_t workers) {
  numa_node_ = config.pool.medium.numa_node;
  devices_.resize(config.daemon.data_threads);
  if (medium.engine_fd() >= 0) wait_for_earlier(medium.engine_fd());
  if (!config::may_have_device(config)) return {};
  const bool is_choice = config.engine.kind == "auto";
  Status status = open_device(config, medium);
  if (status.ok() && is_choice) status = choose(workers);
  if (!status.ok())
    spdlog::log(is_choice ? spdlog::level::info : spdlog::level::warn,
                "[engine] kind = {}: {}: the cpu encodes", config.engine.kind, status.text());
  return {};
}

// Presets that the cpu encodes faster are not the engine's.
Status Engines::choose(uint32_t workers) {
  IoRing ring;
  Status status = ring.open(true);
  if (status.ok()) status = ring.attach();
  if (!status.ok()) return status;
  const auto shards = uint32_t(devices_.size());
  bool any = false;
  for (const EngineRates& rates :
       measure_engines(*devices_[0], ring, workers / shards, numa_node_)) {
    const bool is_faster = rates.is_device_faster(), encodes = rates.work == Work::encode;
    spdlog::info("{}: the engine {} {:.0f} MB/s, the cpu {:.0f} MB/s: {}", rates.preset,
                 encodes ? "encodes" : "decodes", rates.device_bytes_s / 1e6,
                 rates.cpu_bytes_s / 1e6, is_faster ? "the engine" : "the cpu");
    any = any || is_faster;
    for (auto& device : devices_)
      if (device && !is_faster)
        (encodes ? device->can.encoders : device->can.decoders) &= ~(1u << uint32_t(rates.k));
  }
  if (any) return {};
  std::fill(devices_.begin(), devices_.end(), std::nullopt);
  return {ENOTSUP, "the codec engine is faster with no preset"};
}

// A queue pair and an equal part of table memory for each data thread, as far as there are any.
Status Engines::open_device(const config::Config& config, Medium& medium) {
  if (medium.engine_fd() < 0)
    return {EOPNOTSUPP, "medium " + std::string(medium.kind()) + " has none"};
  auto attached = attach(medium.engine_fd());
  if (!attached.ok()) return attached.status();
  const speckv_engine_info& can = attached.value();
  const uint32_t sharers = std::min<uint32_t>(config.daemon.data_threads, can.queues);
  for (uint32_t shard = 0; shard < sharers; shard++) {
    const Status staged = open_staging(config, medium, shard);
    if (!staged.ok()) {
      std::fill(devices_.begin(), devices_.end(), std::nullopt);
      return staged;
    }
    DeviceOptions& options = *devices_[shard];
    options.fd = medium.engine_fd();
    options.can = can;
    options.queue = shard;
    options.tables = {can.thetas / sharers * shard, can.thetas / sharers,
                      can.widths / sharers * shard, can.widths / sharers};
    options.check_one_in = config.engine.check_one_in;
    options.deadline_ms = config.engine.deadline_ms;
  }
  fd_ = medium.engine_fd();
  const std::vector<EngineExtent> extents = medium.engine_extents();
  for (auto& device : devices_)
    for (const EngineExtent& extent : extents)
      if (device) device->extents.push_back({extent.data, extent.bytes, extent.handle});
  spdlog::info(
      "codec engine {}: encodes {:#x}, {} of {} data threads, {} MiB of staging each, 1 of {} "
      "segments is checked",
      can.engine, can.encoders, sharers, config.daemon.data_threads,
      config.engine.staging_bytes >> 20, config.engine.check_one_in);
  return {};
}

Status Engines::open_staging(const config::Config& config, Medium& medium, uint32_t shard) {
  auto region = medium.open_region(staging_name(shard), config.engine.staging_bytes, false);
  if (!region.ok()) return region.status();
  const std::byte* data = region.value()->data();
  for (const EngineExtent& extent : medium.engine_extents())
    if (extent.data == data && extent.bytes == config.engine.staging_bytes) {
      devices_[shard].emplace();
      devices_[shard]->staging = {extent.data, extent.bytes, extent.handle};
    }
  if (!devices_[shard]) return {ENOSPC, "its staging memory is not in one piece"};
  staging_.push_back(std::move(region.value()));
  return {};
}

void Engines::attach_again() const {
  if (fd_ >= 0) (void)attach(fd_);
}

std::unique_ptr<Engine> Engines::make(uint32_t shard, uint32_t workers) const {
  auto cpu = make_cpu_engine(workers, numa_node_);
  if (!devices_[shard]) return cpu;
  return make_device_engine(*devices_[shard], std::move(cpu));
}

}  // namespace speckv
