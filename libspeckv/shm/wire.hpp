// SPDX-License-Identifier: Apache-2.0
// wire.hpp - messages on the daemon's unix socket (SOCK_SEQPACKET: one message, one packet).
//
// Used to open a session, to register layouts, and for speckvctl's questions; never per block.
// Every message begins with WireHeader; `bytes` is the whole message and must be the packet's
// length. Descriptors travel by SCM_RIGHTS with Welcome. Both ends are on one machine: native byte
// order.
#pragma once

#include <cstdint>

#include "speckv/layout.h"

namespace speckv::wire {

constexpr uint32_t magic = 0x56504b53;  // "SKPV"
constexpr uint16_t version_major = 1;
constexpr uint16_t version_minor = 4;
constexpr uint32_t message_bytes_max = 32u << 10;

enum class Type : uint16_t {
  hello = 1,      // client: Hello
  welcome = 2,    // daemon: Welcome + descriptors
  layout = 3,     // client: LayoutRequest
  layout_ok = 4,  // daemon: LayoutReply
  error = 5,      // daemon: Error; the request it answers did nothing
  control =
      6,  // client: text, a speckvctl request ("status", "ls default 100", "info default <hex>")
  reply = 7,  // daemon: text chunk; flag_more says that another follows
};
enum Flags : uint16_t { flag_more = 1 };

struct WireHeader {
  uint32_t magic;
  uint16_t type;
  uint16_t flags;
  uint16_t major;
  uint16_t minor;
  uint32_t bytes;
};
static_assert(sizeof(WireHeader) == 16);

// What a client can do beyond the first version, in its Hello. Bits that a daemon does not know are
// abilities that it has no use for.
enum Features : uint64_t {
  // It reads slots of near memory (shm/pool_format.hpp). Since 1.3. While a session of a namespace
  // cannot, no entry of its index refers there.
  feature_near = 1
};

struct Hello {
  WireHeader header;
  char namespace_name[64];  // NUL-terminated
  uint64_t arena_bytes;     // 0: default
  uint64_t features;        // enum Features
  uint64_t reserved[2];
};
static_assert(sizeof(Hello) == 112);

// Descriptors with Welcome, in this order; then one doorbell eventfd for each shard, and last that
// of near memory where near_bytes says so.
enum Descriptor { fd_session = 0, fd_pool = 1, fd_index = 2, fd_event = 3, fd_doorbell = 4 };

struct Welcome {
  WireHeader header;
  uint64_t session_id;
  uint64_t session_bytes;
  uint64_t pool_bytes;
  uint64_t index_bytes;
  uint32_t shards;
  uint32_t default_preset;
  uint64_t hold_ns_max;
  uint64_t pool_page_bytes;  // 4096 or 2 MiB: what the daemon's own mapping got
  // The medium is slower than the DRAM it lives in, by configuration: readers spin for the rest.
  uint64_t emulated_ps_per_byte;  // 0: as fast as it is
  uint64_t emulated_ns;           // for each segment read
  uint64_t pool_offset;           // where the pool begins in its descriptor; since 1.1
  uint64_t near_bytes;            // 0: none, or a client that cannot read it; since 1.3
};

struct LayoutRequest {
  WireHeader header;
  speckv_layout layout;
};

struct LayoutReply {
  WireHeader header;
  uint64_t fingerprint;  // as stored: the layout's own, mixed with the table's hash if there is one
  uint32_t number;       // the session's number for it, 0..63
  uint32_t preset;       // as stored: resolved, and q8 or exact where the head size asks for it
  // Calibration table of these weights (docs/codec.md): its bytes are in the one descriptor that
  // comes along, a sealed memfd. 0: no table, no descriptor.
  uint32_t table_bytes;
  uint32_t reserved;
};
constexpr uint32_t table_bytes_max = 16u << 20;  // 256 layers x 256 heads x 128 pairs x 2 bytes

struct Error {
  WireHeader header;
  int32_t error;  // positive errno
  uint32_t reserved;
  char text[488];  // one sentence, NUL-terminated
};
static_assert(sizeof(Error) == 512);

}  // namespace speckv::wire
