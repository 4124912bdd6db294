// SPDX-License-Identifier: Apache-2.0
// status.hpp - what can fail in the daemon says so here: an errno and one sentence for a person.
//
// The sentence says what was wrong, what was expected and what to do. No exceptions cross a room's
// door.
#pragma once

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "assert.hpp"

namespace speckv {

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(int error, std::string text) : error_(error), text_(std::move(text)) {}
  static Status from_errno(const std::string& what) {
    const int error = errno;
    return {error, what + ": " + std::strerror(error)};
  }
  bool ok() const { return error_ == 0; }
  int error() const { return error_; }  // positive errno
  const std::string& text() const { return text_; }

 private:
  int error_ = 0;
  std::string text_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {}
  bool ok() const { return value_.has_value(); }
  // Requires: ok().
  T& value() {
    SPECKV_ASSERT(value_, "the value of a Result was asked for that holds an error");
    return *value_;
  }
  const T& value() const {
    SPECKV_ASSERT(value_, "the value of a Result was asked for that holds an error");
    return *value_;
  }
  const Status& status() const { return status_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace speckv
