// SPDX-License-Identifier: Apache-2.0
// door_list.hpp - users who may not connect for now: entries of the access list (acl(5)) of the
// socket's file.
//
// A connection of theirs is refused by the kernel, with EACCES, before there is one: it costs the
// daemon no descriptor. Whatever else the file's mode and list say stays as it is. The owner of the
// file and root are not bound by it. Control thread only. Never: changes who else may connect.
#pragma once

#include <linux/posix_acl_xattr.h>
#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "status.hpp"

namespace speckv {

class DoorList {
 public:
  explicit DoorList(std::string path) : path_(std::move(path)) {}

  // After the file was made and has its mode, before anybody listens: those shut out still are.
  // Returns: ENOTSUP where the file system keeps no such lists.
  Status begin();
  // EUSERS: the list is full.
  Status shut_out(uid_t uid);
  Status let_in(uid_t uid);
  const std::set<uid_t>& uids() const { return uids_; }

 private:
  using Entry = posix_acl_xattr_entry;
  Status write() const;

  const std::string path_;
  std::vector<Entry> own_;  // of the file, without us
  bool extended_ = false;   // own_ says more than a mode can
  std::set<uid_t> uids_;
};

}  // namespace speckv
