// SPDX-License-Identifier: Apache-2.0
// layout.cpp - see layout.hpp.
#include "layout.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace speckv {

Result<const Layout*> LayoutTable::add(const speckv_layout& desc, uint32_t default_preset,
                                       const std::string& space) {
  char why[256] = "";
  const int error = shm::check_layout(desc, why, sizeof why);
  if (error) return Status(error, why);
  const auto widths = widths_for(desc, space);
  if (!widths.ok()) return widths.status();
  uint32_t preset = desc.preset == SPECKV_PRESET_DAEMON ? default_preset : desc.preset;
  preset = codec::stored_preset(desc, preset);
  for (const auto& known : table_)
    if (known->widths == widths.value() && known->preset_id == preset) return known.get();
  if (table_.size() == layouts_max)
    return Status(
        EMFILE,
        "this daemon has seen 1024 different layouts, its limit: restart it to forget unused ones");
  auto layout = std::make_unique<Layout>();
  layout->desc = desc;
  layout->desc.preset = preset;
  layout->widths = widths.value();
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
  table_.push_back(std::move(layout));
  return table_.back().get();
}

const CalibrationTable* LayoutTable::calibration_for(const speckv_layout& desc) const {
  for (const auto& table : calibrations_)
    if (table->is_for(desc)) return table.get();
  return nullptr;
}

Result<LayoutWidths*> LayoutTable::widths_for(const speckv_layout& desc, const std::string& space) {
  const uint64_t fingerprint = shm::layout_fingerprint(desc);
  if (const auto known = widths_.find({space, fingerprint}); known != widths_.end()) {
    if (known->second->fits(desc)) return known->second.get();
    return Status(EEXIST, "another layout of this namespace has the same fingerprint");
  }
  // Equal widths and a table's, and the sums of what is measured.
  const uint64_t heads = uint64_t{desc.layers} * desc.kv_heads;
  const uint64_t bytes =
      heads * (2 * sizeof(codec::ChanTable) + desc.head_dim / 2 * sizeof(double));
  if (bytes > widths_bytes_max - widths_bytes_)
    return Status(EMFILE,
                  "the layouts that this daemon has seen take 512 MiB of widths, its limit:"
                  " restart it to forget unused ones");
  char name[20];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(fingerprint));
  auto made = LayoutWidths::make(
      desc, calibration_for(desc),
      own_folder_.empty() ? "" : own_folder_ + "/" + space + "-" + name + ".chan");
  if (!made.ok()) return made.status();
  widths_bytes_ += bytes;
  return (widths_[{space, fingerprint}] = std::move(made.value())).get();
}

Status LayoutTable::measure_in(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return Status::from_errno("mkdir " + folder);
  own_folder_ = folder;
  return {};
}

std::vector<Status> LayoutTable::adopt_measured() {
  std::vector<Status> told;
  for (auto& [name, widths] : widths_) {
    const auto adopted = widths->adopt();
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
