// SPDX-License-Identifier: Apache-2.0
// peer.hpp - who is at the other end of a socket, as the kernel says: pid, uid, and all groups.
//
// Asked once, when a client connects; the user database is not asked, so nothing here can wait.
//
// A daemon inside a user namespace sees every user that has no number there as the same one, the
// overflow uid (65534). Such a peer is `foreign`: it is nobody's "own", and on no list.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "status.hpp"

namespace speckv {

// Which numbers of users stand for nobody in particular here. On a machine's first user namespace
// there are none.
struct ForeignIds {
  bool any = false;
  uint32_t uid = 65534, gid = 65534;
};
// proc: "/proc", or a folder like it in tests.
ForeignIds read_foreign_ids(const std::string& proc);

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  bool foreign = false;
  std::vector<gid_t> groups;  // the primary one, too; without such as stand for nobody
};

Result<Peer> peer_of(int socket, const ForeignIds& foreign);

constexpr uid_t nobody = uid_t(-1);
uid_t uid_of(int socket);  // nobody: the kernel does not say, which it always does

}  // namespace speckv
