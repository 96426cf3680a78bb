#include "server/worker/uploads.h"

#include <gtest/gtest.h>

#include <string_view>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

CUresult Append(Uploads& uploads, uint64_t upload, size_t offset, std::string_view text) {
  return uploads.Append(upload, offset, std::as_bytes(std::span(text)));
}

std::string Take(Uploads& uploads, uint64_t upload) {
  const auto bytes = uploads.Take(upload);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(UploadsTest, PutsPiecesTogether) {
  Uploads uploads;
  EXPECT_EQ(Append(uploads, 1, 0, "abc"), CUDA_SUCCESS);
  EXPECT_EQ(Append(uploads, 2, 0, "x"), CUDA_SUCCESS);
  EXPECT_EQ(Append(uploads, 1, 3, "de"), CUDA_SUCCESS);
  EXPECT_EQ(Take(uploads, 1), "abcde");
  EXPECT_EQ(Take(uploads, 1), "");
  EXPECT_EQ(Take(uploads, 2), "x");
}

TEST(UploadsTest, RefusesGapsAndOverlaps) {
  Uploads uploads;
  EXPECT_EQ(Append(uploads, 1, 1, "abc"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Append(uploads, 1, 0, "abc"), CUDA_SUCCESS);
  EXPECT_EQ(Append(uploads, 1, 0, "abc"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Append(uploads, 1, 4, "abc"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Append(uploads, 1, SIZE_MAX, "abc"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Take(uploads, 1), "abc");
}

TEST(UploadsTest, TinyUploadsCountForWhatTheyCost) {
  Uploads uploads;
  uint64_t upload = 0;
  CUresult result = CUDA_SUCCESS;
  while (upload <= kMaxUploadBytes / 4096 && result == CUDA_SUCCESS) result = Append(uploads, ++upload, 0, "x");
  EXPECT_EQ(result, CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(Append(uploads, 1, 1, std::string(4096, 'x')), CUDA_ERROR_OUT_OF_MEMORY);
  // What is taken is room again.
  EXPECT_EQ(Take(uploads, 1), "x");
  EXPECT_EQ(Append(uploads, upload, 0, "x"), CUDA_SUCCESS);
}

TEST(UploadsTest, LogIsOfTheLanesLastLoad) {
  Uploads uploads;
  uploads.SetLog(1, {"info", "error"});
  uploads.SetLog(2, {"other", ""});
  uploads.SetLog(1, {"new", ""});
  EXPECT_EQ(uploads.Log(1).info, "new");
  EXPECT_EQ(uploads.Log(1).error, "");
  EXPECT_EQ(uploads.Log(2).info, "other");
  EXPECT_EQ(uploads.Log(3).info, "");
}

TEST(UploadsTest, ChildrenGoWithWhatWasLoaded) {
  Uploads uploads;
  int library, kernel, function, other;
  uploads.NoteChild(&library, &kernel);
  uploads.NoteChild(&library, &kernel);
  uploads.NoteChild(&kernel, &function);
  uploads.NoteChild(&other, &other);
  EXPECT_EQ(uploads.TakeChildren(&library), (std::unordered_set<void*>{&kernel, &function}));
  EXPECT_TRUE(uploads.TakeChildren(&library).empty());
  EXPECT_TRUE(uploads.TakeChildren(&kernel).empty());
}

TEST(UploadsTest, WhatEndedOtherwiseIsNoChildAnyMore) {
  Uploads uploads;
  int library, module, function, kernel, other;
  uploads.NoteChild(&library, &module);
  uploads.NoteChild(&module, &function);
  uploads.NoteChild(&library, &kernel);
  void* const ended[] = {&module, &function, &other};
  uploads.Forget(ended);
  uploads.NoteChild(&module, &other);  // another module at the same address
  EXPECT_EQ(uploads.TakeChildren(&library), (std::unordered_set<void*>{&kernel}));
  EXPECT_EQ(uploads.TakeChildren(&module), (std::unordered_set<void*>{&other}));
}

}  // namespace
}  // namespace outboard::worker
