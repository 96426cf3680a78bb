#include "server/worker/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/preamble.h"

namespace outboard::worker {
namespace {

constexpr uint32_t kReadyMagic = 0x31525742;       // "BWR1"
constexpr uint32_t kAssignmentMagic = 0x32415742;  // "BWA2"
constexpr size_t kMaxDescriptors = kMaxDevices + 2;
constexpr size_t kMaxErrorBytes = 2048;
constexpr size_t kMaxPacketBytes = 72 + kMaxTicketBytes + kMaxReadAheadBytes + kMaxDevices * 16;

struct DeviceEntry {
  int32_t ordinal;
  uint32_t account;
  uint64_t context_bytes;
};

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> descriptors;
};

Error SystemError(const char* what) { return Error{std::string(what) + ": " + strerror(errno)}; }

std::optional<Error> SendPacket(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return SystemError("a message to the other end of a worker's control socket could not be sent");
  return std::nullopt;
}

// nullopt at the end of the stream. With room for no descriptors the kernel drops those that were sent.
Result<std::optional<Packet>> ReceivePacket(int socket, size_t max_bytes, size_t max_descriptors) {
  Packet packet;
  packet.bytes.resize(max_bytes);
  iovec part{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (max_descriptors != 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(std::min(max_descriptors, kMaxDescriptors) * sizeof(int));
  }
  ssize_t received;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0 && errno != ECONNRESET) return SystemError("a worker's control socket could not be read");
  if (received <= 0) return std::optional<Packet>();
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= head->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(head) + at, sizeof fd);
      packet.descriptors.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return Error{"a message on a worker's control socket is longer than any valid one"};
  }
  packet.bytes.resize(static_cast<size_t>(received));
  return std::optional<Packet>(std::move(packet));
}

// Puts values together into one packet, in the layout of wire::Writer.
class PacketWriter {
 public:
  template <class T>
  void Put(const T& value) {
    wire::Writer(Grow(sizeof value)).Put(value);
  }
  void PutText(const std::string& text) {
    Put(uint64_t{text.size()});
    wire::Writer(Grow(text.size())).PutBytes(text.data(), text.size());
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::byte* Grow(size_t bytes) {
    const size_t at = bytes_.size();
    bytes_.resize(at + wire::Padded(bytes));
    return bytes_.data() + at;
  }
  std::vector<std::byte> bytes_;
};

bool GetMagic(wire::Reader& reader, uint32_t expected) {
  uint32_t magic = 0;
  return reader.Get(&magic) && magic == expected;
}

bool GetText(wire::Reader& reader, size_t max_bytes, std::string* text) {
  uint64_t size;
  if (!reader.Get(&size) || size > max_bytes) return false;
  const std::byte* from = reader.Take(size);
  if (from == nullptr) return false;
  text->assign(reinterpret_cast<const char*>(from), size);
  return true;
}

}  // namespace

std::optional<Error> SendReady(int socket, const Ready& ready) {
  PacketWriter writer;
  writer.Put(kReadyMagic);
  writer.Put(ready.result);
  writer.Put(ready.driver_version);
  writer.PutText(ready.error.substr(0, kMaxErrorBytes));
  return SendPacket(socket, writer.bytes(), {});
}

Result<std::optional<Ready>> ReceiveReady(int socket) {
  Result<std::optional<Packet>> packet = ReceivePacket(socket, 64 + kMaxErrorBytes, 0);
  if (!packet) return packet.error();
  if (!*packet) return std::optional<Ready>();
  wire::Reader reader((*packet)->bytes);
  Ready ready;
  if (!GetMagic(reader, kReadyMagic) || !reader.Get(&ready.result) || !reader.Get(&ready.driver_version) ||
      !GetText(reader, kMaxErrorBytes, &ready.error) || !reader.AtEnd()) {
    return Error{"a worker's first message is malformed: it is no gpu-worker of this version"};
  }
  return std::optional<Ready>(std::move(ready));
}

std::optional<Error> SendAssignment(int socket, const Assignment& assignment) {
  if (assignment.devices.size() > kMaxDevices || assignment.ticket.size() > kMaxTicketBytes ||
      assignment.read_ahead.size() > kMaxReadAheadBytes) {
    return Error{"a worker's assignment is larger than its limits (limits.h, control.h) allow"};
  }
  PacketWriter writer;
  std::vector<int> descriptors{assignment.connection.get()};
  writer.Put(kAssignmentMagic);
  writer.Put(assignment.session);
  writer.PutText(assignment.ticket);
  writer.PutText(assignment.read_ahead);
  writer.Put(uint64_t{assignment.devices.size()});
  for (const Assignment::Device& device : assignment.devices) {
    writer.Put(DeviceEntry{device.ordinal, device.account, device.context_bytes});
    descriptors.push_back(device.ledger.get());
  }
  writer.Put(uint64_t{assignment.turns ? 1u : 0u});
  if (assignment.turns) descriptors.push_back(assignment.turns.get());
  return SendPacket(socket, writer.bytes(), descriptors);
}

Result<std::optional<Assignment>> ReceiveAssignment(int socket) {
  Result<std::optional<Packet>> received = ReceivePacket(socket, kMaxPacketBytes, kMaxDescriptors);
  if (!received) return received.error();
  if (!*received) return std::optional<Assignment>();
  Packet& packet = **received;
  const Error malformed{"a worker's assignment is malformed: gpu-node and gpu-worker are not of one version"};
  wire::Reader reader(packet.bytes);
  Assignment assignment;
  uint64_t devices;
  if (!GetMagic(reader, kAssignmentMagic) || !reader.Get(&assignment.session) ||
      !GetText(reader, kMaxTicketBytes, &assignment.ticket) ||
      !GetText(reader, kMaxReadAheadBytes, &assignment.read_ahead) || !reader.Get(&devices) || devices > kMaxDevices ||
      packet.descriptors.size() < devices + 1) {
    return malformed;
  }
  assignment.connection = std::move(packet.descriptors[0]);
  for (size_t i = 0; i < devices; ++i) {
    DeviceEntry entry;
    if (!reader.Get(&entry)) return malformed;
    assignment.devices.push_back(
        {entry.ordinal, entry.account, std::move(packet.descriptors[i + 1]), entry.context_bytes});
  }
  uint64_t has_turns;
  if (!reader.Get(&has_turns) || has_turns > 1 || packet.descriptors.size() != devices + 1 + has_turns)
    return malformed;
  if (has_turns != 0) assignment.turns = std::move(packet.descriptors.back());
  if (!reader.AtEnd()) return malformed;
  return std::optional<Assignment>(std::move(assignment));
}

}  // namespace outboard::worker
