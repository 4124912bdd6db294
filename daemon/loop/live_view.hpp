// SPDX-License-Identifier: Apache-2.0
// live_view.hpp - the running daemon as watch/ sees it: counters summed over shards, files as they
// are mapped.
//
// Control thread only, like everything that asks. Changes nothing.
#pragma once

#include <functional>

#include "loop/daemon.hpp"
#include "watch/daemon_view.hpp"

namespace speckv {

// What is known of one data thread at this moment.
watch::ThreadFacts facts_of(const DataThread& thread, uint32_t shard, uint64_t now_ns);

class LiveView : public watch::DaemonView {
 public:
  explicit LiveView(Daemon& daemon) : daemon_(daemon) {}  // started; must outlive this

  // Who knows how many connections the metrics server has.
  void count_scrapers(std::function<uint32_t()> scrapers) { scrapers_ = std::move(scrapers); }

  watch::DaemonFacts daemon() const override;
  std::vector<watch::SpaceFacts> spaces() const override;
  std::vector<watch::SessionFacts> sessions() const override;
  std::vector<watch::ThreadFacts> threads() const override;
  std::span<const std::byte> index_file(size_t space) const override;
  std::span<const std::byte> pool_file(size_t space) const override;
  std::span<const std::byte> near_file(size_t space) const override;

 private:
  Daemon& daemon_;
  std::function<uint32_t()> scrapers_;
};

}  // namespace speckv
