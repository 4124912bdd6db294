// SPDX-License-Identifier: Apache-2.0
// control_losses.cpp - see control_losses.hpp.
#include "loop/control_losses.hpp"

#include <fcntl.h>

#include <spdlog/spdlog.h>

namespace speckv {

namespace asio = boost::asio;

LossWatch::LossWatch(asio::io_context& context, Medium& medium, std::vector<Namespace>& spaces,
                     std::vector<std::unique_ptr<DataThread>>& threads)
    : medium_(medium), spaces_(spaces), threads_(threads), event_(context), second_(context) {
  const int fd = medium_.loss_fd();
  if (fd < 0) return;
  const int ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);  // asio closes it
  if (ours >= 0) event_.assign(ours);
  if (ours >= 0) wait_for_event();
  wait_a_second();
}

void LossWatch::wait_for_event() {
  event_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [this](boost::system::error_code error) {
                      if (error) return;
                      medium_.clear_loss();
                      look();
                      wait_for_event();
                    });
}

void LossWatch::wait_a_second() {
  second_.expires_after(std::chrono::seconds(1));
  second_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    look();
    wait_a_second();
  });
}

void LossWatch::look() {
  for (size_t i = 0; i < spaces_.size(); i++)
    for (const LostRange& range : take_lost(spaces_[i]))
      for (auto& thread : threads_) untold_.push_back({thread.get(), uint32_t(i), range});
  std::erase_if(untold_,
                [](const Loss& loss) { return loss.thread->lose(loss.space, loss.range); });
}

std::vector<LostRange> LossWatch::take_lost(Namespace& space) {
  if (space.gone) return {};
  std::vector<LostRange> ranges = space.pool->take_lost();
  if (ranges.empty()) return ranges;
  uint64_t bytes = 0;
  for (const LostRange& range : ranges) {
    bytes += range.bytes;
    space.gone = space.gone || range.offset == 0;
  }
  if (space.gone) {
    ranges = {{0, space.pool->bytes()}};
    bytes = space.pool->bytes() - space.lost_bytes;
  }
  space.lost_bytes += bytes;
  spdlog::warn("namespace {}: {} MiB of its memory are lost{}; what lay there is a miss",
               space.name, bytes >> 20, space.gone ? ", that is all of it" : "");
  return ranges;
}

}  // namespace speckv
