// SPDX-License-Identifier: Apache-2.0
// layout.cpp - see layout.hpp.
#include "layout.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "shm/wire.hpp"

namespace speckv {

Result<const Layout*> LayoutTable::add(const speckv_layout& desc, uint32_t default_preset) {
  char why[256] = "";
  const int error = shm::check_layout(desc, why, sizeof why);
  if (error) return Status(error, why);
  const CalibrationTable* calibration = calibration_for(desc);
  const uint64_t fingerprint =
      shm::stored_fingerprint(shm::layout_fingerprint(desc), calibration ? calibration->hash : 0);
  uint32_t preset = desc.preset == SPECKV_PRESET_DAEMON ? default_preset : desc.preset;
  if (desc.dtype == SPECKV_DTYPE_F8) preset = SPECKV_PRESET_EXACT;
  for (const auto& known : table_)
    if (known->fingerprint == fingerprint && known->preset_id == preset) return known.get();
  if (table_.size() == layouts_max)
    return Status(
        EMFILE,
        "this daemon has seen 1024 different layouts, its limit: restart it to forget unused ones");
  auto layout = std::make_unique<Layout>();
  layout->desc = desc;
  layout->desc.preset = preset;
  layout->fingerprint = fingerprint;
  layout->preset_id = preset;
  const codec::Preset raw{codec::CodecId::raw, codec::CodecId::raw, codec::CodecId::raw};
  if (!codec::preset_for(desc, preset, &layout->preset))
    return Status(EPROTOTYPE, "preset " + std::string(codec::preset_name(preset)) +
                                  " is not in this build: use exact or q8");
  std::string why_not;
  layout->tables =
      codec::ChanTables::make(desc, calibration ? &calibration->weights : nullptr, &why_not);
  if (calibration && !layout->tables) return Status(EPROTOTYPE, "calibration table: " + why_not);
  layout->calibration = calibration;
  layout->block_bytes = shm::raw_block_bytes(desc);
  layout->segment_raw_bytes = shm::raw_segment_bytes(desc);
  for (int first = 0; first < 2; first++)
    layout->stored_bytes[first] = uint32_t(codec::segment_bytes(desc, layout->preset, first != 0));
  layout->stored_raw_bytes = uint32_t(codec::segment_bytes(desc, raw, false));
  if (!layout->stored_bytes[0] || !layout->stored_bytes[1] || !layout->stored_raw_bytes)
    return Status(EPROTOTYPE, "preset " + std::string(codec::preset_name(preset)) +
                                  " cannot store this layout's pages");
  table_.push_back(std::move(layout));
  return table_.back().get();
}

const CalibrationTable* LayoutTable::calibration_for(const speckv_layout& desc) const {
  for (const auto& table : calibrations_)
    if (std::memcmp(table->weights.weights_digest, desc.weights_digest, SPECKV_DIGEST_BYTES) == 0 &&
        table->weights.layers == desc.layers && table->weights.kv_heads == desc.kv_heads &&
        table->weights.pairs * 2u == desc.head_dim)
      return table.get();
  return nullptr;
}

namespace {

Result<int> sealed_copy(const std::string& bytes) {
  const int fd = memfd_create("speckv-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Status::from_errno("memfd for a calibration table");
  if (write(fd, bytes.data(), bytes.size()) != ssize_t(bytes.size()) ||
      fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    const Status status = Status::from_errno("filling a calibration table's memfd");
    close(fd);
    return status;
  }
  return fd;
}

Result<std::unique_ptr<CalibrationTable>> read_calibration(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file || bytes.empty() || bytes.size() > wire::table_bytes_max)
    return Status(EINVAL, path + ": cannot be read, is empty or is larger than 16 MiB");
  auto table = std::make_unique<CalibrationTable>();
  std::string why;
  if (!codec::parse_chan_weights(std::as_bytes(std::span(bytes)), &table->weights, &why))
    return Status(EINVAL, path + ": " + why);
  auto copy = sealed_copy(bytes);
  if (!copy.ok()) return copy.status();
  table->fd = copy.value();
  table->bytes = uint32_t(bytes.size());
  table->hash = shm::hash_table(bytes.data(), bytes.size());
  return table;
}

}  // namespace

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
