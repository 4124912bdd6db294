// SPDX-License-Identifier: Apache-2.0
// cpu.cpp - the engine that is always there: the codec room's SIMD on the data thread itself.
#include <cstring>
#include <vector>

#include "engine/engine.hpp"

namespace speckv {

namespace {

class CpuEngine final : public Engine {
 public:
  CpuEngine() : scratch_(SPECKV_SEGMENT_BYTES_MAX) {}

  codec::Refusal encode(const Layout& layout, const codec::Preset& preset, uint32_t layer,
                        bool first, std::span<const std::byte> raw, std::span<std::byte> out,
                        uint64_t* ret_checksum) override {
    // Every codec looks at its input more than once, a raw copy too (for the bytes and for their
    // sum), and the client may write meanwhile: only this copy is encoded.
    std::memcpy(scratch_.data(), raw.data(), raw.size());
    const std::byte* source = scratch_.data();
    const auto value = ptrdiff_t(shm::value_bytes(layout.desc));
    const ptrdiff_t token = value * layout.desc.head_dim;
    const ptrdiff_t head = token * layout.desc.block_tokens;
    const codec::SegmentView view{
        {source, token, head, value},
        {source + shm::half_segment_bytes(layout.desc), token, head, value}};
    return codec::encode_segment(layout.desc, preset, layer, first, view, out, ret_checksum,
                                 layout.tables ? layout.tables->data() : nullptr);
  }
  std::string_view name() const override { return "cpu"; }

 private:
  std::vector<std::byte> scratch_;
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine() { return std::make_unique<CpuEngine>(); }

}  // namespace speckv
