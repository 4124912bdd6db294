// SPDX-License-Identifier: Apache-2.0
// calibration.cpp - see calibration.hpp.
#include "widths/calibration.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "shm/layout_math.hpp"
#include "shm/wire.hpp"

namespace speckv {

namespace {

Result<int> sealed_copy(std::span<const std::byte> bytes) {
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

}  // namespace

CalibrationTable::~CalibrationTable() {
  if (fd >= 0) close(fd);
}

bool CalibrationTable::is_for(const speckv_layout& layout) const {
  return std::memcmp(weights.weights_digest, layout.weights_digest, SPECKV_DIGEST_BYTES) == 0 &&
         layout.first_layer == 0 && weights.layers == layout.layers &&
         weights.kv_heads == layout.kv_heads && weights.pairs * 2u == layout.head_dim;
}

Result<std::unique_ptr<CalibrationTable>> make_calibration(std::span<const std::byte> file,
                                                           const std::string& name) {
  auto table = std::make_unique<CalibrationTable>();
  std::string why;
  if (!codec::parse_chan_weights(file, &table->weights, &why))
    return Status(EINVAL, name + ": " + why);
  auto copy = sealed_copy(file);
  if (!copy.ok()) return copy.status();
  table->fd = copy.value();
  table->bytes = uint32_t(file.size());
  table->hash = shm::hash_table(file.data(), file.size());
  return table;
}

Result<std::unique_ptr<CalibrationTable>> read_calibration(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file || bytes.empty() || bytes.size() > wire::table_bytes_max)
    return Status(EINVAL, path + ": cannot be read, is empty or is larger than 16 MiB");
  return make_calibration(std::as_bytes(std::span(bytes)), path);
}

Status write_calibration(std::span<const std::byte> file, const std::string& path) {
  const std::string fresh = path + ".new";
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(file.data()), std::streamsize(file.size()));
  out.close();
  if (!out || rename(fresh.c_str(), path.c_str()) != 0)
    return {errno ? errno : EIO, path + ": cannot be written: " + std::strerror(errno)};
  return {};
}

}  // namespace speckv
