// SPDX-License-Identifier: Apache-2.0
// peer.cpp - see peer.hpp.
#include "session/peer.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <fstream>

#ifndef SO_PEERGROUPS  // Linux 4.13
#define SO_PEERGROUPS 59
#endif

namespace speckv {

namespace {

// Whether the file maps every id, as the first user namespace does. An empty one maps none; there
// is no such file where the kernel has no user namespaces.
bool maps_all(const std::string& path) {
  std::ifstream file(path);
  if (!file.is_open()) return true;
  uint64_t inside = 0, outside = 0, count = 0;
  return file >> inside >> outside >> count && inside == 0 && count == UINT32_MAX;
}

uint32_t number_in(const std::string& path, uint32_t otherwise) {
  std::ifstream file(path);
  uint32_t number = 0;
  return file >> number ? number : otherwise;
}

std::vector<gid_t> groups_of(int socket) {
  std::vector<gid_t> groups(64);
  for (int tries = 0; tries < 2; tries++) {
    socklen_t bytes = socklen_t(groups.size() * sizeof(gid_t));
    const int failed = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes);
    if (failed && errno != ERANGE) return {};
    groups.resize(bytes / sizeof(gid_t));  // ERANGE: how many there are
    if (!failed) return groups;
  }
  return {};
}

bool credentials_of(int socket, ucred* ret_credentials) {
  socklen_t bytes = sizeof *ret_credentials;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, ret_credentials, &bytes) == 0;
}

}  // namespace

ForeignIds read_foreign_ids(const std::string& proc) {
  ForeignIds foreign;
  foreign.any = !maps_all(proc + "/self/uid_map") || !maps_all(proc + "/self/gid_map");
  foreign.uid = number_in(proc + "/sys/kernel/overflowuid", foreign.uid);
  foreign.gid = number_in(proc + "/sys/kernel/overflowgid", foreign.gid);
  return foreign;
}

Result<Peer> peer_of(int socket, const ForeignIds& foreign) {
  ucred credentials{};
  if (!credentials_of(socket, &credentials)) return Status::from_errno("SO_PEERCRED");
  Peer peer{credentials.pid, credentials.uid, credentials.gid, false, groups_of(socket)};
  peer.foreign = foreign.any && peer.uid == foreign.uid;
  peer.groups.push_back(peer.gid);
  if (foreign.any)
    peer.groups.erase(std::remove(peer.groups.begin(), peer.groups.end(), gid_t(foreign.gid)),
                      peer.groups.end());
  return peer;
}

uid_t uid_of(int socket) {
  ucred credentials{};
  return credentials_of(socket, &credentials) ? credentials.uid : nobody;
}

}  // namespace speckv
