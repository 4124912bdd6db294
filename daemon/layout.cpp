// SPDX-License-Identifier: Apache-2.0
// layout.cpp - see layout.hpp.
#include "layout.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "assert.hpp"

namespace speckv {

namespace {

constexpr uint64_t idle_ns_max = 60'000'000'000;  // for the next session of a measured layout

uint32_t resolved(const speckv_layout& desc, uint32_t default_preset) {
  return codec::stored_preset(desc,
                              desc.preset == SPECKV_PRESET_DAEMON ? default_preset : desc.preset);
}

Status full(int error, const std::string& what, bool of_all) {
  return {error, of_all ? "the daemon has no room for more " + what + ": its operator sees why"
                        : "this namespace has no room for more " + what +
                              ": close sessions whose layouts are not needed, or raise its limit "
                              "([[namespace]] layouts_max, widths_bytes_max)"};
}

}  // namespace

LayoutRoom LayoutTable::used(const std::string& space) const {
  const auto found = spaces_.find(space);
  return found == spaces_.end() ? LayoutRoom{0, 0} : found->second.used;
}

const Layout* LayoutTable::find(const speckv_layout& desc, uint32_t default_preset,
                                const std::string& space) const {
  const auto widths = widths_.find({space, shm::layout_fingerprint(desc)});
  if (widths == widths_.end() || !widths->second.widths->fits(desc)) return nullptr;
  for (const Known& known : table_)
    if (known.layout->widths == widths->second.widths.get() &&
        known.layout->preset_id == resolved(desc, default_preset))
      return known.layout.get();
  return nullptr;
}

Result<const Layout*> LayoutTable::add(const speckv_layout& desc, uint32_t default_preset,
                                       const std::string& space) {
  char why[256] = "";
  const int error = shm::check_layout(desc, why, sizeof why);
  if (error) return Status(error, why);
  if (const Layout* known = find(desc, default_preset, space)) return known;
  LayoutRoom& used = spaces_[space].used;
  if (used.layouts >= spaces_[space].most.layouts) return full(EXFULL, "layouts", false);
  if (used_.layouts >= most_.layouts) return full(EXFULL, "layouts", true);
  const WidthsName name{space, shm::layout_fingerprint(desc)};
  const auto widths = widths_for(desc, name);
  if (!widths.ok()) return widths.status();
  auto layout = make(desc, resolved(desc, default_preset), widths.value());
  const auto shared = widths_.find(name);
  if (!layout.ok()) {
    if (shared->second.layouts == 0 && shared->second.idle_ns == 0) forget(shared);
    return layout.status();
  }
  shared->second.layouts++;
  used.layouts++;
  used_.layouts++;
  table_.push_back({std::move(layout.value()), name, 0});
  return table_.back().layout.get();
}

Result<std::unique_ptr<Layout>> LayoutTable::make(const speckv_layout& desc, uint32_t preset,
                                                  LayoutWidths* widths) const {
  auto layout = std::make_unique<Layout>();
  layout->desc = desc;
  layout->desc.preset = preset;
  layout->widths = widths;
  layout->identity = shm::layout_fingerprint(desc);
  layout->mask = layout_mask(layout->identity);
  layout->preset_id = preset;
  const codec::Preset raw{codec::CodecId::raw, codec::CodecId::raw, codec::CodecId::raw};
  if (!codec::preset_for(desc, preset, &layout->preset))
    return Status(EPROTOTYPE, "preset " + std::string(codec::preset_name(preset)) +
                                  " is not in this build: use exact or q8");
  layout->measures =
      layout->preset.k >= codec::CodecId::chanq2_5 && layout->preset.k <= codec::CodecId::chanq7;
  layout->block_bytes = shm::raw_block_bytes(desc);
  layout->segment_raw_bytes = shm::raw_segment_bytes(desc);
  layout->segments = shm::stored_segments(desc);
  for (int first = 0; first < 2; first++)
    layout->stored_bytes[first] = uint32_t(codec::segment_bytes(desc, layout->preset, first != 0));
  layout->stored_raw_bytes = uint32_t(codec::segment_bytes(desc, raw, false));
  if (layout->preset.bounded && codec::preset_for(desc, SPECKV_PRESET_Q8, &layout->fallback))
    for (int first = 0; first < 2; first++)
      layout->fallback_bytes[first] =
          uint32_t(codec::segment_bytes(desc, layout->fallback, first != 0));
  if (!layout->stored_bytes[0] || !layout->stored_bytes[1] || !layout->stored_raw_bytes)
    return Status(EPROTOTYPE, "preset " + std::string(codec::preset_name(preset)) +
                                  " cannot store this layout's pages");
  return layout;
}

void LayoutTable::retain(const Layout* layout) {
  for (Known& known : table_)
    if (known.layout.get() == layout) known.sessions++;
}

void LayoutTable::release(const Layout* layout, uint64_t now_ns) {
  for (size_t i = 0; i < table_.size(); i++) {
    if (table_[i].layout.get() != layout) continue;
    SPECKV_ASSERT(table_[i].sessions > 0, "a layout was let go more often than it was named");
    if (--table_[i].sessions > 0) return;
    const auto widths = widths_.find(table_[i].widths);
    spaces_[table_[i].widths.first].used.layouts--;
    used_.layouts--;
    std::swap(table_[i], table_.back());
    table_.pop_back();
    if (--widths->second.layouts > 0) return;
    widths->second.idle_ns = now_ns;
    if (!widths->second.widths->measuring()) forget(widths);
    return;
  }
}

void LayoutTable::forget(std::map<WidthsName, SharedWidths>::iterator widths) {
  spaces_[widths->first.first].used.widths_bytes -= widths->second.bytes;
  used_.widths_bytes -= widths->second.bytes;
  spaces_[widths->first.first].used.fds -= widths->second.fds;
  used_.fds -= widths->second.fds;
  widths_.erase(widths);
}

void LayoutTable::forget_idle(uint64_t now_ns) {
  for (auto each = widths_.begin(); each != widths_.end();) {
    const auto widths = each++;
    if (widths->second.layouts == 0 && now_ns - widths->second.idle_ns > idle_ns_max)
      forget(widths);
  }
}

const CalibrationTable* LayoutTable::calibration_for(const speckv_layout& desc) const {
  for (const auto& table : calibrations_)
    if (table->is_for(desc)) return table.get();
  return nullptr;
}

// Idle widths of this namespace go first; those of others stay.
Status LayoutTable::make_room_for_widths(Space& space, const std::string& name, uint64_t bytes) {
  const auto fits = [&](const LayoutRoom& used, const LayoutRoom& most) {
    return used.widths_bytes <= most.widths_bytes && bytes <= most.widths_bytes - used.widths_bytes;
  };
  for (auto each = widths_.begin(); each != widths_.end();) {
    if (fits(space.used, space.most) && fits(used_, most_)) return {};
    const auto widths = each++;
    if (widths->first.first == name && widths->second.layouts == 0) forget(widths);
  }
  if (!fits(space.used, space.most)) return full(ENOSR, "widths of layouts", false);
  if (!fits(used_, most_)) return full(ENOSR, "widths of layouts", true);
  return {};
}

Result<LayoutWidths*> LayoutTable::widths_for(const speckv_layout& desc, const WidthsName& name) {
  if (const auto known = widths_.find(name); known != widths_.end()) {
    if (known->second.widths->fits(desc)) return known->second.widths.get();
    return Status(EEXIST, "another layout of this namespace has the same fingerprint");
  }
  // Equal widths and a table's, and the sums of what is measured.
  const uint64_t heads = uint64_t{desc.layers} * desc.kv_heads;
  const uint64_t bytes =
      heads * (2 * sizeof(codec::ChanTable) + desc.head_dim / 2 * sizeof(double));
  const Status room = make_room_for_widths(spaces_[name.first], name.first, bytes);
  if (!room.ok()) return room;
  char number[20];
  std::snprintf(number, sizeof number, "%016llx", static_cast<unsigned long long>(name.second));
  auto made = LayoutWidths::make(
      desc, calibration_for(desc),
      own_folder_.empty() ? "" : own_folder_ + "/" + name.first + "-" + number + ".chan");
  if (!made.ok()) return made.status();
  spaces_[name.first].used.widths_bytes += bytes;
  used_.widths_bytes += bytes;
  SharedWidths& shared = widths_[name];
  shared.fds = made.value()->has_own_table() ? 1 : 0;
  spaces_[name.first].used.fds += shared.fds;
  used_.fds += shared.fds;
  shared.widths = std::move(made.value());
  shared.bytes = bytes;
  return shared.widths.get();
}

Status LayoutTable::measure_in(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return Status::from_errno("mkdir " + folder +
                              " for measured widths: it must be writable ([daemon] runtime_dir)");
  own_folder_ = folder;
  return {};
}

std::vector<Status> LayoutTable::adopt_measured() {
  std::vector<Status> told;
  for (auto& [name, shared] : widths_) {
    const auto adopted = shared.widths->adopt();
    const std::string who = "namespace " + name.first + ": widths measured on " +
                            std::to_string(KeyReach::tokens_wanted) + " tokens of K";
    if (!adopted.ok())
      told.emplace_back(adopted.status().error(),
                        who + " cannot be kept and are not used: " + adopted.status().text());
    else if (adopted.value())
      told.emplace_back(0, who + "; pages of this layout are stored with them from now on");
  }
  return told;
}

Status LayoutTable::load_calibrations(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".chan") paths.push_back(entry.path().string());
  if (error)
    return {error.value(), folder + ": " + error.message() + "; expected a folder of *.chan files"};
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    auto table = read_calibration(path);
    if (!table.ok()) return table.status();
    calibrations_.push_back(std::move(table.value()));
  }
  return {};
}

}  // namespace speckv
