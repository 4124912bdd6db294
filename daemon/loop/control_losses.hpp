// SPDX-License-Identifier: Apache-2.0
// control_losses.hpp - watches whether the pool's memory is still there, and tells the data threads
// what is not.
//
// Woken by the medium's loss_fd(), and once a second all the same: an event may not have reached
// us. A namespace whose first part is lost is gone as a whole: nobody new could map it. Control
// thread only. Never: waits for a data thread; one whose mailbox is full is told a second later.
// Does nothing for a medium that cannot lose memory.
#pragma once

#include <utility>  // before asio.hpp: Boost 1.74 uses std::exchange without it

#include <boost/asio.hpp>
#include <memory>
#include <vector>

#include "loop/data_thread.hpp"
#include "pool/namespace.hpp"

namespace speckv {

class LossWatch {
 public:
  // All of them must outlive this.
  LossWatch(boost::asio::io_context& context, Medium& medium, std::vector<Namespace>& spaces,
            std::vector<std::unique_ptr<DataThread>>& threads);

  // Parts of a namespace's pool that were lost since the last call, noted in it and logged.
  static std::vector<LostRange> take_lost(Namespace& space);

 private:
  void wait_for_event();
  void wait_a_second();
  void look();

  Medium& medium_;
  std::vector<Namespace>& spaces_;
  std::vector<std::unique_ptr<DataThread>>& threads_;
  boost::asio::posix::stream_descriptor event_;
  boost::asio::steady_timer second_;
  struct Loss {
    DataThread* thread = nullptr;
    uint32_t space = 0;
    LostRange range;
  };
  std::vector<Loss> untold_;  // oldest first
};

}  // namespace speckv
