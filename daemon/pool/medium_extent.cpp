// SPDX-License-Identifier: Apache-2.0
// medium_extent.cpp - extents of a CXL region through our own driver, /dev/speckvN.
//
// A pool is one extent, or several beside each other around what somebody keeps
// (extent_pieces.hpp); what is missing between them is lost from the start. They are found again by
// a cookie made of the pool's name. Clients get an export: a file that can be mapped for reading
// only and shows these extents alone. Extents live as long as a descriptor holds them: fd_to_keep()
// is to be left with a supervisor, and a daemon that is given it as kept_fd finds its pools as they
// were.
//
// The index is rebuilt at each start, read at random, and useless once a part of it is lost, so it
// lies in DRAM (a memfd); so do arenas, which the encoder reads.
//
// Losses: the driver's list of poison and its ENODEV after removal are the truth. Kernel events and
// the guard of the mapping only say that it is time to look.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "pool/extent_pieces.hpp"

namespace speckv::pool {
namespace {

uint64_t cookie_of(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (char c : name) hash = (hash ^ uint8_t(c)) * 0x100000001b3ull;
  return hash;
}

class ExtentRegion : public Region {
 public:
  ExtentRegion(std::shared_ptr<ExtentDevice> device, std::unique_ptr<MappedRegion> map,
               std::vector<LostRange> holes)
      : device_(std::move(device)), map_(std::move(map)), holes_(std::move(holes)) {
    told_.resize(map_->bytes() / SPECKV_GRANULE_BYTES);
  }
  std::byte* data() override { return map_->data(); }
  uint64_t bytes() const override { return map_->bytes(); }
  int client_fd() const override { return map_->client_fd(); }
  uint64_t client_offset() const override { return map_->client_offset(); }
  uint64_t page_bytes() const override { return map_->page_bytes(); }
  bool existed() const override { return map_->existed(); }
  std::vector<LostRange> take_lost() override;

 private:
  std::shared_ptr<ExtentDevice> device_;
  std::unique_ptr<MappedRegion> map_;
  std::vector<LostRange> holes_;  // that nobody has been told of
  std::vector<bool> told_;        // by granule
};

std::vector<LostRange> ExtentRegion::take_lost() {
  std::vector<LostRange> ranges;
  const auto tell = [&](uint64_t granule) {
    if (granule >= told_.size() || told_[granule]) return;
    told_[granule] = true;
    const uint64_t offset = granule * SPECKV_GRANULE_BYTES;
    if (!ranges.empty() && ranges.back().offset + ranges.back().bytes == offset)
      ranges.back().bytes += SPECKV_GRANULE_BYTES;
    else ranges.push_back({offset, SPECKV_GRANULE_BYTES});
  };
  for (const LostRange& hole : holes_)
    for (uint64_t at = 0; at < hole.bytes; at += SPECKV_GRANULE_BYTES)
      tell((hole.offset + at) / SPECKV_GRANULE_BYTES);
  holes_.clear();
  for (const LostRange& range : map_->take_lost()) tell(range.offset / SPECKV_GRANULE_BYTES);
  const auto poisoned = device_->poisoned();
  if (!poisoned.ok() && poisoned.status().error() == ENODEV)
    for (uint64_t granule = 0; granule < told_.size(); granule++) tell(granule);
  if (!poisoned.ok()) return ranges;
  for (uint64_t offset : poisoned.value())
    if (offset >= map_->client_offset())
      tell((offset - map_->client_offset()) / SPECKV_GRANULE_BYTES);
  return ranges;
}

class ExtentMedium : public DeviceMedium {
 public:
  ExtentMedium(const MediumOptions& options, std::shared_ptr<ExtentDevice> device)
      : DeviceMedium(options), device_(std::move(device)) {}
  Status watch();

  Result<std::unique_ptr<Region>> open_region(const std::string& name, uint64_t bytes,
                                              bool fresh) override;
  std::vector<std::string> keep_only(std::span<const std::string> region_names) override;
  std::string describe() const override {
    const int node = device_->info().numa_node;
    return "extent " + options_.path + ", region of " +
           std::to_string(device_->info().device_bytes >> 20) + " MiB" +
           (node >= 0 ? " near node " + std::to_string(node) : "") + "; index and arenas in DRAM" +
           describe_emulation(options_);
  }
  const char* kind() const override { return "extent"; }
  const char* isolation_kind() const override { return "exports"; }
  std::string isolation() const override { return "by the driver's read-only exports"; }
  int fd_to_keep() const override { return device_->fd(); }
  int engine_fd() const override { return device_->fd(); }
  std::vector<EngineExtent> engine_extents() const override { return engine_extents_; }
  int loss_fd() const override { return watched_.get(); }
  Pinned pinned() const override {
    const auto stat = device_->stat();
    if (!stat.ok()) return {};
    return {stat.value().quarantined_bytes, stat.value().pinner_bytes,
            uint32_t(stat.value().pinner_pid), uint32_t(stat.value().pinner_uid)};
  }
  void clear_loss() override;

 private:
  Result<Pieces> find_or_alloc(const std::string& name, uint64_t bytes, bool fresh,
                               bool* ret_existed);
  Status note_engine_extents(const Pieces& pieces, std::byte* data);

  std::shared_ptr<ExtentDevice> device_;
  std::map<std::string, std::vector<uint64_t>> handles_;  // of the regions opened here
  std::vector<EngineExtent> engine_extents_;              // the same, where they are mapped
  Fd wake_, events_, watched_;  // of the guards; of the kernel; both in one
};

Status ExtentMedium::watch() {
  wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  events_ = open_kernel_events();
  watched_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!wake_.valid() || !watched_.valid() ||
      epoll_ctl(watched_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0)
    return Status::from_errno("watching " + options_.path);
  if (events_.valid() && epoll_ctl(watched_.get(), EPOLL_CTL_ADD, events_.get(), &event) != 0)
    return Status::from_errno("watching the kernel's events");
  return {};
}

void ExtentMedium::clear_loss() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t ignored = read(wake_.get(), &count, sizeof count);
  char event[4096];  // any device's: they are rare, and a look costs one call for each namespace
  while (events_.valid() && (recv(events_.get(), event, sizeof event, 0) > 0 || errno == ENOBUFS)) {
  }
}

std::vector<std::string> ExtentMedium::keep_only(std::span<const std::string> region_names) {
  std::vector<std::string> told;
  const auto entries = device_->list();
  if (!entries.ok()) return told;
  for (const speckv_extent_entry& entry : entries.value()) {
    if (std::any_of(region_names.begin(), region_names.end(),
                    [&](const std::string& name) { return cookie_of(name) == entry.cookie; }))
      continue;
    if (device_->free(entry.handle).ok())
      told.push_back("an extent of " + std::to_string(entry.bytes >> 20) +
                     " MiB is free again: no namespace of the configuration has it");
  }
  return told;
}

Result<Pieces> ExtentMedium::find_or_alloc(const std::string& name, uint64_t bytes, bool fresh,
                                           bool* ret_existed) {
  const auto entries = device_->list();
  if (!entries.ok()) return entries.status();
  const auto is_in = [](const std::vector<uint64_t>& handles, uint64_t handle) {
    return std::find(handles.begin(), handles.end(), handle) != handles.end();
  };
  const auto mine = handles_.find(name);
  std::vector<speckv_extent_entry> found;
  for (const speckv_extent_entry& entry : entries.value()) {
    const bool taken = std::any_of(handles_.begin(), handles_.end(), [&](const auto& opened) {
      return is_in(opened.second, entry.handle);
    });
    if (mine != handles_.end() ? is_in(mine->second, entry.handle)
                               : entry.cookie == cookie_of(name) && !taken)
      found.push_back(entry);
  }
  const Pieces there = pieces_of(found);
  *ret_existed = !fresh && there.bytes == bytes;
  if (*ret_existed) return there;
  for (uint64_t handle : there.handles) {
    const Status freed = device_->free(handle);  // readers of it see zeros from now on
    if (!freed.ok()) return freed;
  }
  return alloc_pieces(*device_, "\"" + name + "\"", bytes, cookie_of(name));
}

// Regions stay mapped for as long as the daemon lives.
Status ExtentMedium::note_engine_extents(const Pieces& pieces, std::byte* data) {
  const auto entries = device_->list();
  if (!entries.ok()) return entries.status();
  for (const speckv_extent_entry& entry : entries.value())
    if (std::find(pieces.handles.begin(), pieces.handles.end(), entry.handle) !=
        pieces.handles.end())
      engine_extents_.push_back({data + (entry.offset - pieces.offset), entry.bytes, entry.handle});
  return {};
}

Result<std::unique_ptr<Region>> ExtentMedium::open_region(const std::string& name, uint64_t bytes,
                                                          bool fresh) {
  const Status named = check_region_name(name);
  if (!named.ok()) return named;
  if (bytes == 0 || bytes % SPECKV_GRANULE_BYTES)
    return Status(EINVAL, options_.path + ": \"" + name + "\" must be a multiple of 2 MiB, not " +
                              std::to_string(bytes) + " bytes");
  bool existed = false;
  auto pieces = find_or_alloc(name, bytes, fresh, &existed);
  if (!pieces.ok()) return pieces.status();
  handles_[name] = pieces.value().handles;
  auto client = device_->export_read_only(pieces.value().handles);
  if (!client.ok()) return client.status();
  Fd control(fcntl(device_->fd(), F_DUPFD_CLOEXEC, 0));
  if (!control.valid()) return Status::from_errno("duplicating the descriptor of " + options_.path);
  auto map = MappedRegion::map_device(std::move(control), std::move(client.value()),
                                      {pieces.value().offset, bytes, SPECKV_GRANULE_BYTES, existed},
                                      wake_.get());
  if (!map.ok()) return map.status();
  const Status noted = note_engine_extents(pieces.value(), map.value()->data());
  if (!noted.ok()) return noted;
  return std::unique_ptr<Region>(std::make_unique<ExtentRegion>(device_, std::move(map.value()),
                                                                std::move(pieces.value().holes)));
}

}  // namespace

Result<std::unique_ptr<Medium>> make_extent(const MediumOptions& options) {
  if (options.path.empty())
    return Status(EINVAL, "medium \"extent\" needs [pool] path, the device, as \"/dev/speckv0\"");
  auto device = ExtentDevice::open(options.path, options.kept_fd);
  if (!device.ok()) return device.status();
  auto medium = std::make_unique<ExtentMedium>(options, std::move(device.value()));
  const Status watched = medium->watch();
  if (!watched.ok()) return watched;
  return std::unique_ptr<Medium>(std::move(medium));
}

}  // namespace speckv::pool
