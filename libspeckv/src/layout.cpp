// SPDX-License-Identifier: Apache-2.0
// layout.cpp - speckv_layout_check, _register, speckv_block_ids and what follows from a layout.
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "codec/segment.hpp"
#include "src/clock.hpp"
#include "src/connect.hpp"
#include "src/handle.hpp"
#include "src/tables.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

// A caller compiled against a later header passes a larger struct; what we do not know of it must
// be 0.
bool later_fields_zero(const speckv_layout& layout) {
  constexpr uint32_t size_max = 64u << 10;
  if (layout.size > size_max) return false;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&layout);
  for (uint32_t i = sizeof layout; i < layout.size; i++)
    if (bytes[i]) return false;
  return true;
}

void say(char* ret_why, size_t why_bytes, const char* text, unsigned number) {
  if (ret_why && why_bytes) std::snprintf(ret_why, why_bytes, text, number);
}

// Checks a layout and copies what this version knows of it. Returns: 0 or -errno.
int check_and_copy(const speckv_layout* layout, speckv_layout* ret_layout, char* ret_why,
                   size_t why_bytes) {
  if (!layout) {
    say(ret_why, why_bytes, "the layout is NULL; expected a struct speckv_layout", 0);
    return -EINVAL;
  }
  if (layout->size > sizeof *layout && !later_fields_zero(*layout)) {
    say(ret_why, why_bytes,
        "layout.size is %u and fields that this library does not know are set; use a library of "
        "that version",
        layout->size);
    return -EINVAL;
  }
  if (layout->size < sizeof *layout) {
    *ret_layout = {};
    ret_layout->size = layout->size;
  } else {
    *ret_layout = *layout;
    ret_layout->size = sizeof *layout;
  }
  const int error = shm::check_layout(*ret_layout, ret_why, why_bytes);
  if (error != 0) return -error;
  codec::Preset preset;
  const bool chosen = ret_layout->preset != SPECKV_PRESET_DAEMON;
  if (chosen && !codec::preset_for(*ret_layout, ret_layout->preset, &preset)) {
    say(ret_why, why_bytes,
        "layout.preset %u is not in this build of the library; use 0 (the daemon's), 1 or 2",
        ret_layout->preset);
    return -EINVAL;
  }
  return 0;
}

// Says where a layout that is right will be stored otherwise than its preset's name says; else
// nothing. The daemon's preset is told as its default, near-lossless: all but exact, lossless and
// q8 take the same heads.
void tell_substitute(const speckv_layout& layout, char* ret_why, size_t why_bytes) {
  if (!ret_why || why_bytes == 0) return;
  ret_why[0] = '\0';
  const bool daemons = layout.preset == SPECKV_PRESET_DAEMON;
  const uint32_t asked = daemons ? uint32_t(SPECKV_PRESET_NEAR_LOSSLESS) : layout.preset;
  const uint32_t stored = codec::stored_preset(layout, asked);
  if (stored == asked || layout.dtype == SPECKV_DTYPE_F8) return;
  std::snprintf(ret_why, why_bytes,
                "layout.head_dim is %u: %s%s takes multiples of 16 up to 256, so this is stored by "
                "%s",
                layout.head_dim, daemons ? "a daemon's preset like " : "preset ",
                codec::preset_name(asked).data(), codec::preset_name(stored).data());
}

uint32_t chunks_of(const speckv_layout& layout) {
  return uint32_t((shm::raw_block_bytes(layout) + shm::arena_chunk_bytes - 1) /
                  shm::arena_chunk_bytes);
}

void fill_info(const speckv_layout& layout, LayoutInfo* ret_info) {
  LayoutInfo& info = *ret_info;
  info.layout = layout;
  info.mask = layout_mask(shm::layout_fingerprint(layout));
  info.widths_count.store(0);
  info.half_bytes = shm::half_segment_bytes(layout);
  info.segment_bytes = shm::raw_segment_bytes(layout);
  info.block_bytes = shm::raw_block_bytes(layout);
  info.segments = shm::stored_segments(layout);
  info.chunks = chunks_of(layout);
  for (uint32_t preset = 0; preset < presets; preset++) {
    codec::Preset codecs;
    const bool known = codec::preset_for(layout, preset, &codecs);
    for (int first : {0, 1}) {
      codec::SegmentPlan& plan = info.stored[preset][first];
      if (!known || !codec::plan_segment(layout, codecs, first != 0, &plan)) plan.bytes = 0;
    }
  }
}

// Requires: control locked. What is to be said of a layout in this session, by itself right. On
// failure ret_why gets one sentence.
int fits_session(const Session& session, const speckv_layout& layout, char* ret_why,
                 size_t why_bytes) {
  const uint64_t arena = session.current.load()->arena.chunks() * shm::arena_chunk_bytes;
  if (chunks_of(layout) * uint64_t{shm::arena_chunk_bytes} <= arena) return 0;
  if (ret_why && why_bytes)
    std::snprintf(
        ret_why, why_bytes,
        "one block of this layout has %llu bytes and the session's arena %llu; open the "
        "session with a larger arena_bytes (the daemon's [session] arena_bytes_max bounds "
        "it), or use fewer tokens in a block",
        static_cast<unsigned long long>(shm::raw_block_bytes(layout)),
        static_cast<unsigned long long>(arena));
  return -EFBIG;
}

// Requires: control locked. Returns: 0 or -errno.
int register_locked(Session& session, const speckv_layout& layout, uint32_t* ret_layout) {
  const uint32_t count = session.layouts_count.load();
  for (uint32_t i = 0; i < count; i++) {
    if (std::memcmp(&session.layouts[i].layout, &layout, sizeof layout) != 0) continue;
    *ret_layout = i;
    return 0;
  }
  if (count == layouts_max) return -EMFILE;
  if (session.current.load()->lost.load() || !finish_asking(session)) return -ENOTCONN;
  const int fits = fits_session(session, layout, nullptr, 0);
  if (fits != 0) return fits;
  fill_info(layout, &session.layouts[count]);
  const int result = register_on_wire(session, count, deadline_after(session.timeout_ns));
  if (result != 0) {
    drop_tables(&session.layouts[count]);
    return result;
  }
  session.layouts_count.store(count + 1, std::memory_order_release);
  *ret_layout = count;
  return 0;
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv;
using namespace speckv::lib;

extern "C" int speckv_layout_check(const speckv_layout* layout, char* ret_why, size_t why_bytes) {
  speckv_layout copy;
  const int result = check_and_copy(layout, &copy, ret_why, why_bytes);
  if (result == 0) tell_substitute(copy, ret_why, why_bytes);
  return result;
}

extern "C" int speckv_layout_register(speckv_session* handle, const speckv_layout* layout,
                                      uint32_t* ret_layout) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  if (!ret_layout) return -EINVAL;
  speckv_layout copy;
  const int checked = check_and_copy(layout, &copy, nullptr, 0);
  if (checked != 0) return checked;
  maintain(call.session());
  Locked control(call.session().control);
  return register_locked(call.session(), copy, ret_layout);
}

extern "C" int speckv_layout_fits(speckv_session* handle, const speckv_layout* layout,
                                  char* ret_why, size_t why_bytes) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  speckv_layout copy;
  const int checked = check_and_copy(layout, &copy, ret_why, why_bytes);
  if (checked != 0) return checked;
  Locked control(call.session().control);
  const int fits = fits_session(call.session(), copy, ret_why, why_bytes);
  if (fits == 0) tell_substitute(copy, ret_why, why_bytes);
  return fits;
}

extern "C" uint64_t speckv_block_bytes(const speckv_layout* layout) {
  speckv_layout copy;
  return check_and_copy(layout, &copy, nullptr, 0) == 0 ? shm::raw_block_bytes(copy) : 0;
}

extern "C" uint64_t speckv_layout_fingerprint(const speckv_layout* layout) {
  speckv_layout copy;
  return check_and_copy(layout, &copy, nullptr, 0) == 0 ? shm::layout_fingerprint(copy) : 0;
}

extern "C" int speckv_block_ids(const speckv_layout* layout,
                                const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                                uint8_t (*ret_ids)[SPECKV_KEY_BYTES]) {
  speckv_layout copy;
  const int checked = check_and_copy(layout, &copy, nullptr, 0);
  if (checked != 0) return checked;
  const int batch = check_batch(keys, count);
  if (batch != 0) return batch;
  if (!ret_ids) return -EINVAL;
  const speckv::Key mask = speckv::layout_mask(speckv::shm::layout_fingerprint(copy));
  for (unsigned i = 0; i < count; i++) {
    const speckv::Key id = masked(speckv::Key::from(keys[i]), mask);
    std::memcpy(ret_ids[i], id.word, sizeof id.word);
  }
  return 0;
}
