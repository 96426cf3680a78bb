#include "server/slice/turn_messages.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <type_traits>

namespace outboard::slice {
namespace {

template <class Message>
bool SendPacket(int socket, const Message& message) {
  static_assert(std::has_unique_object_representations_v<Message>);
  ssize_t sent;
  do sent = send(socket, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent == sizeof message;
}

template <class Message>
Received ReceivePacket(int socket, Message* message) {
  std::byte packet[sizeof *message + 1];
  ssize_t received;
  do received = recv(socket, packet, sizeof packet, MSG_DONTWAIT);
  while (received < 0 && errno == EINTR);
  if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Received::kNothing;
  if (received <= 0) return Received::kEnd;
  if (received != sizeof *message) return Received::kMalformed;
  std::memcpy(message, packet, sizeof *message);
  return Received::kMessage;
}

}  // namespace

bool Send(int socket, const TurnGiven& message) { return SendPacket(socket, message); }
bool Send(int socket, const TurnAnswer& message) { return SendPacket(socket, message); }

Received Receive(int socket, TurnGiven* message) { return ReceivePacket(socket, message); }

Received Receive(int socket, TurnAnswer* message) {
  const Received received = ReceivePacket(socket, message);
  if (received != Received::kMessage) return received;
  const bool is_known = message->kind == TurnAnswer::Kind::kWant || message->kind == TurnAnswer::Kind::kDone;
  return is_known && message->wants <= 1 && message->busy >= 0 && message->overtime >= 0 ? received
                                                                                         : Received::kMalformed;
}

}  // namespace outboard::slice
