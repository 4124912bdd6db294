// SPDX-License-Identifier: Apache-2.0
#include "src/tables.hpp"

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace speckv::lib {
namespace {

// Returns: 0, or -EPROTO when the descriptor does not hold what the reply says.
int read_table(const Message& message, uint32_t bytes, std::vector<std::byte>* ret_file) {
  if (bytes > wire::table_bytes_max || message.fds_count != (bytes ? 1u : 0u)) return -EPROTO;
  ret_file->resize(bytes);
  for (uint32_t at = 0; at < bytes;) {
    const ssize_t got = pread(message.fds[0], ret_file->data() + at, bytes - at, at);
    if (got <= 0) return -EPROTO;
    at += uint32_t(got);
  }
  return 0;
}

int make_tables(const Message& message, bool known, LayoutInfo* info) {
  const auto& reply = message.as<wire::LayoutReply>();
  std::vector<std::byte> file;
  const int result = read_table(message, reply.table_bytes, &file);
  if (result != 0) return result;
  const uint64_t table_hash = file.empty() ? 0 : shm::hash_table(file.data(), file.size());
  const uint64_t fingerprint =
      shm::stored_fingerprint(shm::layout_fingerprint(info->layout), table_hash);
  if (reply.fingerprint != fingerprint) return -EPROTO;
  if (known) return info->fingerprint == fingerprint ? 0 : -ESTALE;
  codec::ChanWeights weights;
  std::string error;
  if (!file.empty() && !codec::parse_chan_weights(file, &weights, &error)) return -EPROTO;
  info->tables =
      codec::ChanTables::make(info->layout, file.empty() ? nullptr : &weights, &error).release();
  if (!info->tables && !file.empty()) return -EPROTO;
  info->fingerprint = fingerprint;
  return 0;
}

}  // namespace

int take_tables(const Message& message, bool known, LayoutInfo* info) {
  try {
    return make_tables(message, known, info);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

void drop_tables(LayoutInfo* info) {
  delete info->tables;
  info->tables = nullptr;
}

}  // namespace speckv::lib
