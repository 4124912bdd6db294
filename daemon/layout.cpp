// SPDX-License-Identifier: Apache-2.0
// layout.cpp - see layout.hpp.
#include "layout.hpp"

namespace speckv {

Result<const Layout*> LayoutTable::add(const speckv_layout& desc, uint32_t default_preset) {
  char why[256] = "";
  const int error = shm::check_layout(desc, why, sizeof why);
  if (error) return Status(error, why);
  const uint64_t fingerprint = shm::layout_fingerprint(desc);
  uint32_t preset = desc.preset == SPECKV_PRESET_DAEMON ? default_preset : desc.preset;
  if (desc.dtype == SPECKV_DTYPE_F8) preset = SPECKV_PRESET_EXACT;
  for (const auto& known : table_)
    if (known->fingerprint == fingerprint && known->preset_id == preset) return known.get();
  if (table_.size() == layouts_max)
    return Status(EMFILE, "this daemon has seen 1024 different layouts, its limit: restart it to forget unused ones");
  auto layout = std::make_unique<Layout>();
  layout->desc = desc;
  layout->desc.preset = preset;
  layout->fingerprint = fingerprint;
  layout->preset_id = preset;
  const codec::Preset raw{codec::CodecId::raw, codec::CodecId::raw, codec::CodecId::raw};
  if (!codec::preset_for(desc, preset, &layout->preset))
    return Status(EPROTOTYPE, "preset " + std::string(codec::preset_name(preset)) + " is not in this build: use exact or q8");
  layout->block_bytes = shm::raw_block_bytes(desc);
  layout->segment_raw_bytes = shm::raw_segment_bytes(desc);
  for (int first = 0; first < 2; first++)
    layout->stored_bytes[first] = uint32_t(codec::segment_bytes(desc, layout->preset, first != 0));
  layout->stored_raw_bytes = uint32_t(codec::segment_bytes(desc, raw, false));
  if (!layout->stored_bytes[0] || !layout->stored_bytes[1] || !layout->stored_raw_bytes)
    return Status(EPROTOTYPE, "preset " + std::string(codec::preset_name(preset)) + " cannot store this layout's pages");
  table_.push_back(std::move(layout));
  return table_.back().get();
}

}  // namespace speckv
