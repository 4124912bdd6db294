// SPDX-License-Identifier: Apache-2.0
// daemon.hpp - the running daemon: media, namespaces, data threads, control, in the order they
// start and stop.
//
// Called by main and by tests that want a daemon in their own process. start() returns when clients
// can connect.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "journey/hold_room.hpp"
#include "loop/control.hpp"
#include "loop/control_losses.hpp"
#include "loop/data_thread.hpp"
#include "loop/engines.hpp"
#include "pool/medium.hpp"
#include "loop/spill_tiers.hpp"
#include "pool/namespace.hpp"

namespace speckv {

class Daemon {
 public:
  explicit Daemon(config::Config config);
  ~Daemon();

  // One sentence for each thing of earlier daemons that a start with this configuration would not
  // keep. Changes nothing.
  static std::vector<std::string> what_a_start_drops(const config::Config& config);

  Status start();
  void run();   // the control plane, until stop() or a signal
  void stop();  // any thread: answers what is in the rings, tells clients, leaves the pool for the
                // next daemon

  const config::Config& config() const { return config_; }
  const Medium& medium() const { return *medium_; }
  const std::vector<Namespace>& spaces() const { return spaces_; }
  const std::vector<std::unique_ptr<DataThread>>& threads() const { return threads_; }
  Control& control() { return *control_; }
  const Engines& engines() const { return engines_; }
  uint64_t held_blocks() const { return hold_rooms_.empty() ? 0 : hold_rooms_[0]->used(); }
  uint64_t started_ns() const { return started_ns_; }

 private:
  Status open_spaces();
  // What a data thread has before it runs.
  struct Made {
    std::unique_ptr<Engine> engine;  // outlives the shards that use it
    std::vector<DataThread::Space> parts;
    uint64_t guaranteed = 0;  // bytes of prefetches a second, of all namespaces
  };
  Status start_threads();
  Made make_shards(uint32_t shard, uint32_t workers);
  void restore(std::vector<Made>& made);

  config::Config config_;
  std::unique_ptr<Medium> medium_;
  std::vector<Namespace> spaces_;
  // Of all namespaces first, then one each.
  std::vector<std::unique_ptr<HoldRoom>> hold_rooms_;
  Engines engines_;                         // its staging memory outlives the data threads
  SpillTiers spills_;                       // outlives the data threads
  std::unique_ptr<Undertaker> undertaker_;  // before everybody who may let go of a session last
  std::vector<std::unique_ptr<DataThread>> threads_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<LossWatch> losses_;
  uint64_t started_ns_ = 0;
};

}  // namespace speckv
