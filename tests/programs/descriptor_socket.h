#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "check.h"

// Sends a descriptor to another process, and receives one, over a Unix socket (SCM_RIGHTS). The caller closes both.
namespace descriptor_socket {

struct Packet {
  Packet() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
};

inline void Send(int socket, int descriptor) {
  Packet packet;
  cmsghdr* const head = CMSG_FIRSTHDR(&packet.message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  check::Equal("sendmsg", sendmsg(socket, &packet.message, 0), ssize_t{1});
}

inline int Receive(int socket) {
  Packet packet;
  check::Equal("recvmsg", recvmsg(socket, &packet.message, MSG_CMSG_CLOEXEC), ssize_t{1});
  const cmsghdr* const head = CMSG_FIRSTHDR(&packet.message);
  check::True("a descriptor has come", head != nullptr && head->cmsg_type == SCM_RIGHTS);
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
  return descriptor;
}

}  // namespace descriptor_socket
