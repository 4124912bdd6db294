// SPDX-License-Identifier: Apache-2.0
// cpu.cpp - the engine that is always there: the codec room's SIMD on the data thread itself.
#include "engine/engine.hpp"

namespace speckv {

namespace {

class CpuEngine final : public Engine {
 public:
  codec::Refusal encode(const Layout& layout, const codec::Preset& preset,
                        const codec::ChanTables* tables, uint32_t layer, bool first,
                        std::span<const std::byte> raw, std::span<std::byte> out,
                        uint64_t* ret_checksum) override {
    const std::byte* source = raw.data();
    const auto value = ptrdiff_t(shm::value_bytes(layout.desc));
    const ptrdiff_t token = value * layout.desc.head_dim;
    const ptrdiff_t head = token * layout.desc.block_tokens;
    const codec::SegmentView view{
        {source, token, head, value},
        {source + shm::half_segment_bytes(layout.desc), token, head, value}};
    // The client may write its arena meanwhile.
    return codec::encode_segment(layout.desc, preset, layer, first, view, out, ret_checksum,
                                 tables ? tables->data() : nullptr, codec::Input::changing);
  }
  std::string_view name() const override { return "cpu"; }
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine() { return std::make_unique<CpuEngine>(); }

}  // namespace speckv
