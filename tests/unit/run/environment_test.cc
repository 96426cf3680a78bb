#include <gtest/gtest.h>

#include <algorithm>

#include "client/run/command.h"

namespace outboard::run {
namespace {

Installation Ours() {
  Installation installation;
  installation.shim_folder = "/opt/outboard/client";
  installation.shim = "/opt/outboard/client/libcuda.so.1";
  return installation;
}

std::vector<std::string> Sorted(std::vector<std::string> entries) {
  std::sort(entries.begin(), entries.end());
  return entries;
}

std::vector<std::string> ForCommand(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  return Sorted(CommandEnvironment(const_cast<char* const*>(environment.data()), Ours(), "/run.sock"));
}

std::vector<std::string> ForNode(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  return Sorted(NodeEnvironment(const_cast<char* const*>(environment.data()), Ours()));
}

using Entries = std::vector<std::string>;

TEST(RunEnvironment, OurDriverComesFirst) {
  EXPECT_EQ(
      ForCommand({"HOME=/root", "LD_PRELOAD=/jemalloc.so /x.so", "LD_LIBRARY_PATH=/a:/b"}),
      (Entries{"ASAN_OPTIONS=verify_asan_link_order=0", "HOME=/root", "LD_LIBRARY_PATH=/opt/outboard/client:/a:/b",
               "LD_PRELOAD=/opt/outboard/client/libcuda.so.1:/jemalloc.so:/x.so", "OUTBOARD_RUN_SOCKET=/run.sock",
               "TRITON_LIBCUDA_PATH=/opt/outboard/client"}));
}

TEST(RunEnvironment, OptionsOfASanitizerAreKept) {
  const Entries command = ForCommand({"ASAN_OPTIONS=verify_asan_link_order=1:detect_leaks=0"});
  EXPECT_EQ(command[0], "ASAN_OPTIONS=verify_asan_link_order=0:verify_asan_link_order=1:detect_leaks=0");
  EXPECT_EQ(ForNode({command[0].c_str()}), Entries{"ASAN_OPTIONS=verify_asan_link_order=1:detect_leaks=0"});
}

TEST(RunEnvironment, OneInsideAnotherReplacesIt) {
  const Entries outer = ForCommand({"CUDA_VISIBLE_DEVICES=1", "LD_PRELOAD=/x.so", "ASAN_OPTIONS=detect_leaks=0"});
  std::vector<const char*> inner;
  for (const std::string& entry : outer) inner.push_back(entry.c_str());
  EXPECT_EQ(ForCommand(inner), outer);
}

TEST(RunEnvironment, ANodeSeesTheMachinesOwnDriver) {
  const Entries outer =
      ForCommand({"CUDA_VISIBLE_DEVICES=1", "LD_PRELOAD=/x.so", "LD_LIBRARY_PATH=/a", "SOFTGPU_SMS=2"});
  std::vector<const char*> inner;
  for (const std::string& entry : outer) inner.push_back(entry.c_str());
  EXPECT_EQ(ForNode(inner), (Entries{"LD_LIBRARY_PATH=/a", "SOFTGPU_SMS=2"}));
  EXPECT_EQ(ForNode({"LD_LIBRARY_PATH=/opt/outboard/client"}), Entries{});
}

}  // namespace
}  // namespace outboard::run
