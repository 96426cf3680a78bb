#include "server/worker/control.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/preamble.h"

namespace outboard::worker {
namespace {

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    node_.Reset(ends[0]);
    worker_.Reset(ends[1]);
  }

  static UniqueFd NewFile() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    close(ends[1]);
    return UniqueFd(ends[0]);
  }
  static uint64_t Inode(const UniqueFd& fd) {
    struct stat status = {};
    EXPECT_EQ(fstat(fd.get(), &status), 0);
    return status.st_ino;
  }
  static Assignment Example(size_t devices) {
    Assignment assignment;
    assignment.session = 0x1234567890abcdef;
    assignment.ticket = "ticket";
    assignment.read_ahead = std::string("PRI * HTTP/2.0\0", 15);
    assignment.connection = NewFile();
    for (size_t i = 0; i < devices; ++i) {
      assignment.devices.push_back({static_cast<int32_t>(10 + i), static_cast<uint32_t>(20 + i), NewFile(), 30 + i});
    }
    return assignment;
  }
  // What SendAssignment puts on the socket.
  std::string Bytes(const Assignment& assignment) {
    EXPECT_FALSE(SendAssignment(node_.get(), assignment));
    std::string bytes(8192, '\0');
    const ssize_t size = recv(worker_.get(), bytes.data(), bytes.size(), 0);
    EXPECT_GT(size, 0);
    bytes.resize(static_cast<size_t>(size));
    return bytes;
  }
  // Sends bytes with copies of one descriptor.
  void SendRaw(const std::string& bytes, size_t descriptors) {
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    std::vector<char> control(CMSG_SPACE(descriptors * sizeof(int)));
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptors != 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
      for (size_t i = 0; i < descriptors; ++i) reinterpret_cast<int*>(CMSG_DATA(head))[i] = node_.get();
    }
    ASSERT_EQ(sendmsg(node_.get(), &message, 0), static_cast<ssize_t>(bytes.size()));
  }
  // The number of the next descriptor that is opened: the same before and after something that leaks none.
  static int NextDescriptor() {
    const UniqueFd next(dup(0));
    return next.get();
  }

  UniqueFd node_, worker_;
};

TEST_F(ControlTest, AnAssignmentArrivesAsItWasSent) {
  for (const size_t devices : {size_t{0}, size_t{1}, size_t{3}, size_t{kMaxDevices}}) {
    Assignment sent = Example(devices);
    if (devices != 1) sent.turns = NewFile();
    ASSERT_FALSE(SendAssignment(node_.get(), sent));
    Result<std::optional<Assignment>> received = ReceiveAssignment(worker_.get());
    ASSERT_TRUE(received) << received.error().message;
    ASSERT_TRUE(received->has_value());
    const Assignment& got = **received;
    EXPECT_EQ(got.session, sent.session);
    EXPECT_EQ(got.ticket, sent.ticket);
    EXPECT_EQ(got.read_ahead, sent.read_ahead);
    EXPECT_EQ(Inode(got.connection), Inode(sent.connection));
    EXPECT_NE(got.connection.get(), sent.connection.get());
    ASSERT_EQ(static_cast<bool>(got.turns), static_cast<bool>(sent.turns));
    if (sent.turns) {
      EXPECT_EQ(Inode(got.turns), Inode(sent.turns));
    }
    ASSERT_EQ(got.devices.size(), devices);
    for (size_t i = 0; i < devices; ++i) {
      EXPECT_EQ(got.devices[i].ordinal, sent.devices[i].ordinal);
      EXPECT_EQ(got.devices[i].account, sent.devices[i].account);
      EXPECT_EQ(got.devices[i].context_bytes, sent.devices[i].context_bytes);
      EXPECT_EQ(Inode(got.devices[i].ledger), Inode(sent.devices[i].ledger));
    }
  }
}

TEST_F(ControlTest, TheReadyMessageArrivesAsItWasSent) {
  ASSERT_FALSE(SendReady(worker_.get(), {100, 13000, "cuInit of libcuda.so.1 returned 100"}));
  Result<std::optional<Ready>> received = ReceiveReady(node_.get());
  ASSERT_TRUE(received);
  ASSERT_TRUE(received->has_value());
  EXPECT_EQ((*received)->result, 100);
  EXPECT_EQ((*received)->driver_version, 13000);
  EXPECT_EQ((*received)->error, "cuInit of libcuda.so.1 returned 100");
}

TEST_F(ControlTest, AClosedSocketIsNoError) {
  node_.Reset();
  Result<std::optional<Assignment>> received = ReceiveAssignment(worker_.get());
  ASSERT_TRUE(received);
  EXPECT_FALSE(received->has_value());
  EXPECT_TRUE(SendReady(worker_.get(), {}));
}

TEST_F(ControlTest, EveryCutAssignmentIsRefusedAndItsDescriptorsAreClosed) {
  const std::string bytes = Bytes(Example(2));
  const int next = NextDescriptor();
  for (size_t size = 1; size < bytes.size(); ++size) {
    SendRaw(bytes.substr(0, size), 3);
    EXPECT_FALSE(ReceiveAssignment(worker_.get())) << size;
  }
  SendRaw(bytes + std::string(8, '\0'), 3);
  EXPECT_FALSE(ReceiveAssignment(worker_.get()));
  EXPECT_EQ(NextDescriptor(), next);
  SendRaw(bytes, 3);
  EXPECT_TRUE(ReceiveAssignment(worker_.get()));
}

TEST_F(ControlTest, TheNumberOfDescriptorsMustFit) {
  const std::string bytes = Bytes(Example(2));
  for (const size_t descriptors : {0, 1, 2, 4, 100}) {
    SendRaw(bytes, descriptors);
    EXPECT_FALSE(ReceiveAssignment(worker_.get())) << descriptors;
  }
}

TEST_F(ControlTest, LengthsThatLieAreRefused) {
  const std::string bytes = Bytes(Example(1));
  for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
    std::string forged = bytes;
    forged.replace(at, 8, std::string(8, '\xff'));
    SendRaw(forged, 2);
    Result<std::optional<Assignment>> received = ReceiveAssignment(worker_.get());
    // Words that are no lengths may hold anything.
    if (received) {
      EXPECT_EQ((*received)->devices.size(), 1u) << at;
    }
  }
}

TEST_F(ControlTest, ANodeTakesNoDescriptorsFromAWorker) {
  ASSERT_FALSE(SendReady(worker_.get(), {}));
  std::string bytes(4096, '\0');
  bytes.resize(static_cast<size_t>(recv(node_.get(), bytes.data(), bytes.size(), 0)));
  std::swap(node_, worker_);  // SendRaw sends from node_
  const int next = NextDescriptor();
  SendRaw(bytes, 5);
  EXPECT_FALSE(ReceiveReady(worker_.get()));
  EXPECT_EQ(NextDescriptor(), next);
}

TEST_F(ControlTest, WhatIsTooLongIsNotSent) {
  Assignment assignment = Example(1);
  assignment.ticket.assign(kMaxTicketBytes + 1, 'x');
  EXPECT_TRUE(SendAssignment(node_.get(), assignment));
  assignment = Example(1);
  assignment.read_ahead.assign(kMaxReadAheadBytes + 1, 'x');
  EXPECT_TRUE(SendAssignment(node_.get(), assignment));
  assignment = Example(1);
  assignment.ticket.assign(kMaxTicketBytes, 'x');
  assignment.read_ahead.assign(kMaxReadAheadBytes, 'x');
  ASSERT_FALSE(SendAssignment(node_.get(), assignment));
  EXPECT_TRUE(ReceiveAssignment(worker_.get()));
}

}  // namespace
}  // namespace outboard::worker
