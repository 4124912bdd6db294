// SPDX-License-Identifier: Apache-2.0
// control_requests.hpp - the answers to speckvctl's questions: a line of text in, one JSON object
// out.
//
//   status                      the daemon, its namespaces, sessions and threads
//   ls [NAMESPACE [LIMIT]]      blocks of a namespace (default: the first; 100 of them)
//   info [NAMESPACE] KEY        one block, every segment checked; KEY may be the first digits of
//   it.
//                               Blocks of the same key under other layouts follow in "others"
//   metrics                     the text of /metrics, as {"text": ...}
//
// Called on the control thread, for root and the daemon's own user only. A question that cannot be
// answered gives
// {"error": "one sentence", "errno": N}. Changes nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "watch/daemon_view.hpp"

namespace speckv {

// One that is worked out in pieces, so that the control thread serves others in between: a
// namespace may have a billion index entries.
class Answer {
 public:
  virtual ~Answer() = default;
  // Does a bounded piece of the work, and appends what of the text is ready. Returns: false when
  // that was all.
  virtual bool step(std::string* ret_text) = 0;
};

// Requires: request was checked by parse_control(); view outlives the answer. Its text is one JSON
// object, always.
std::unique_ptr<Answer> answer_control(const watch::DaemonView& view, std::string_view request);
// All of it at once.
std::string text_of(Answer& answer);

}  // namespace speckv
