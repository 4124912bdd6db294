// SPDX-License-Identifier: Apache-2.0
// door_list.cpp - see door_list.hpp.
#include "session/door_list.hpp"

#include <endian.h>
#include <linux/posix_acl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>

#include "config/limits.hpp"

namespace speckv {

namespace {

constexpr char list_name[] = "system.posix_acl_access";

posix_acl_xattr_entry entry(int tag, unsigned permissions,
                            uint32_t id = uint32_t(ACL_UNDEFINED_ID)) {
  return {htole16(uint16_t(tag)), htole16(uint16_t(permissions & 7)), htole32(id)};
}
int tag_of(const posix_acl_xattr_entry& each) { return le16toh(each.e_tag); }
uint32_t id_of(const posix_acl_xattr_entry& each) { return le32toh(each.e_id); }

}  // namespace

Status DoorList::begin() {
  own_.clear();
  std::vector<std::byte> list(64 << 10);
  const ssize_t bytes = getxattr(path_.c_str(), list_name, list.data(), list.size());
  extended_ = bytes > ssize_t(sizeof(posix_acl_xattr_header));
  if (extended_) {
    own_.resize((size_t(bytes) - sizeof(posix_acl_xattr_header)) / sizeof(Entry));
    std::memcpy(own_.data(), list.data() + sizeof(posix_acl_xattr_header),
                own_.size() * sizeof(Entry));
  } else if (bytes < 0 && errno != ENODATA) {
    return Status::from_errno("the access list of " + path_);
  } else {
    struct stat info {};
    if (stat(path_.c_str(), &info) != 0) return Status::from_errno("stat " + path_);
    own_ = {entry(ACL_USER_OBJ, info.st_mode >> 6), entry(ACL_GROUP_OBJ, info.st_mode >> 3),
            entry(ACL_OTHER, info.st_mode)};
  }
  return uids_.empty() ? Status() : write();
}

Status DoorList::shut_out(uid_t uid) {
  if (uids_.contains(uid)) return {};
  if (own_.empty()) return {ENOTSUP, path_ + " is on a file system without access lists"};
  if (uids_.size() >= limits::shut_out_max)
    return {EUSERS, std::to_string(uids_.size()) + " users are shut out already"};
  uids_.insert(uid);
  Status status = write();
  if (!status.ok()) uids_.erase(uid);
  return status;
}

Status DoorList::let_in(uid_t uid) { return uids_.erase(uid) ? write() : Status(); }

// In the order that the kernel wants: owner, users, group, groups, mask, others; users by number.
Status DoorList::write() const {
  if (uids_.empty() && !extended_) {
    if (removexattr(path_.c_str(), list_name) == 0 || errno == ENODATA) return {};
    return Status::from_errno("the access list of " + path_);
  }
  std::vector<Entry> list;
  for (const uid_t uid : uids_) list.push_back(entry(ACL_USER, 0, uid));
  bool mask = false;
  unsigned group = 0;
  for (const Entry& each : own_) {
    mask = mask || tag_of(each) == ACL_MASK;
    if (tag_of(each) == ACL_GROUP_OBJ) group = le16toh(each.e_perm);
    if (tag_of(each) != ACL_USER || !uids_.contains(id_of(each))) list.push_back(each);
  }
  if (!mask) list.push_back(entry(ACL_MASK, group));  // named entries need one
  std::sort(list.begin(), list.end(), [](const Entry& a, const Entry& b) {
    return std::pair(tag_of(a), id_of(a)) < std::pair(tag_of(b), id_of(b));
  });
  const posix_acl_xattr_header header{htole32(POSIX_ACL_XATTR_VERSION)};
  std::vector<std::byte> bytes(sizeof header + list.size() * sizeof(Entry));
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, list.data(), list.size() * sizeof(Entry));
  if (setxattr(path_.c_str(), list_name, bytes.data(), bytes.size(), 0) == 0) return {};
  return Status::from_errno("the access list of " + path_);
}

}  // namespace speckv
