// SPDX-License-Identifier: Apache-2.0
#include "src/tables.hpp"

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <utility>
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

void append(LayoutInfo* info, uint64_t fingerprint, std::unique_ptr<codec::ChanTables> tables) {
  const uint32_t count = info->widths_count.load(std::memory_order_relaxed);
  info->widths[count] = {fingerprint, tables.release()};
  info->widths_count.store(count + 1, std::memory_order_release);
}

int make_tables(const Message& message, LayoutInfo* info) {
  const auto& reply = message.as<wire::LayoutReply>();
  std::vector<std::byte> file;
  const int result = read_table(message, reply.table_bytes, &file);
  if (result != 0) return result;
  const uint64_t table_hash = file.empty() ? 0 : shm::hash_table(file.data(), file.size());
  const uint64_t own = shm::layout_fingerprint(info->layout);
  if (reply.fingerprint != shm::stored_fingerprint(own, table_hash)) return -EPROTO;
  std::string error;
  if (info->widths_count == 0)
    append(info, own, codec::ChanTables::make(info->layout, nullptr, &error));
  if (info->widths_of(reply.fingerprint)) return 0;
  if (info->widths_count == width_sets_max) return -ESTALE;
  codec::ChanWeights weights;
  if (!codec::parse_chan_weights(file, &weights, &error)) return -EPROTO;
  auto tables = codec::ChanTables::make(info->layout, &weights, &error);
  if (!tables) return -EPROTO;
  append(info, reply.fingerprint, std::move(tables));
  return 0;
}

}  // namespace

int take_tables(const Message& message, LayoutInfo* info) {
  try {
    return make_tables(message, info);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

void drop_tables(LayoutInfo* info) {
  for (uint32_t i = info->widths_count.exchange(0); i-- > 0;) delete info->widths[i].tables;
}

}  // namespace speckv::lib
