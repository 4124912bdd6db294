// SPDX-License-Identifier: Apache-2.0
// layout_widths.cpp - see layout_widths.hpp.
#include "widths/layout_widths.hpp"

#include <unistd.h>

#include <spdlog/spdlog.h>

#include "shm/layout_math.hpp"

namespace speckv {

Result<std::unique_ptr<LayoutWidths>> LayoutWidths::make(const speckv_layout& layout,
                                                         const CalibrationTable* calibration,
                                                         const std::string& own_path) {
  std::unique_ptr<LayoutWidths> widths(new LayoutWidths(layout));
  widths->own_path_ = own_path;
  widths->equal_.fingerprint = shm::layout_fingerprint(layout);
  std::string why_not;
  widths->equal_.tables = codec::ChanTables::make(layout, nullptr, &why_not);
  if (!calibration && widths->equal_.tables && !own_path.empty() &&
      access(own_path.c_str(), F_OK) == 0) {
    const Status status = widths->read_own();
    if (status.ok()) return widths;
    spdlog::warn("{}; widths are measured anew, blocks that were stored with it are lost",
                 status.text());
  }
  if (calibration) {
    const Status status = widths->use(*calibration);
    if (!status.ok()) return status;
  } else if (widths->equal_.tables && !own_path.empty()) {
    widths->reach_ = std::make_unique<KeyReach>(widths->layout_, *widths->equal_.tables);
  }
  return widths;
}

bool LayoutWidths::fits(const speckv_layout& layout) const {
  return layout.dtype == layout_.dtype && layout.layers == layout_.layers &&
         layout.kv_heads == layout_.kv_heads && layout.head_dim == layout_.head_dim &&
         layout.block_tokens == layout_.block_tokens && layout.page_tokens == layout_.page_tokens;
}

Status LayoutWidths::read_own() {
  auto own = read_calibration(own_path_);
  if (!own.ok()) return own.status();
  own_ = std::move(own.value());
  return use(*own_);
}

Status LayoutWidths::use(const CalibrationTable& table) {
  std::string why_not;
  table_.tables = codec::ChanTables::make(layout_, &table.weights, &why_not);
  if (!table_.tables) return {EPROTOTYPE, "calibration table: " + why_not};
  table_.file = &table;
  table_.fingerprint = shm::stored_fingerprint(equal_.fingerprint, table.hash);
  current_.store(&table_, std::memory_order_release);
  return {};
}

Result<bool> LayoutWidths::adopt() {
  if (!reach_ || reach_->wanted() || adopted_) return false;
  adopted_ = true;
  const std::vector<std::byte> file = codec::write_chan_weights(reach_->weights());
  const Status kept = write_calibration(file, own_path_);
  if (!kept.ok()) return kept;
  auto own = make_calibration(file, own_path_);
  if (!own.ok()) return own.status();
  own_ = std::move(own.value());
  const Status status = use(*own_);
  if (!status.ok()) return status;
  return true;
}

}  // namespace speckv
