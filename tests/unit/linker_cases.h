// cuLink*: PTX modules that become one image. The tests of a program that says which driver it means: it includes cuda.h
// as that driver has it, and defines DriverOfLinkerTest, a fixture with a current context, in the namespace in which it
// includes this.

class LinkerTest : public DriverOfLinkerTest {
 protected:
  // Runs apply(memory, 14) of an image; what it stored.
  uint32_t Apply(const void* image) {
    CUmodule module = nullptr;
    CUfunction apply = nullptr;
    CUdeviceptr memory = 0;
    uint32_t value = 14, stored = 0;
    EXPECT_EQ(cuModuleLoadData(&module, image), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleGetFunction(&apply, module, "apply"), CUDA_SUCCESS);
    EXPECT_EQ(cuMemAlloc_v2(&memory, 4), CUDA_SUCCESS);
    void* parameters[] = {&memory, &value};
    EXPECT_EQ(cuLaunchKernel(apply, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(&stored, memory, 4), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
    return stored;
  }

  static CUresult AddPtx(CUlinkState state, const char* text) {
    return cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, const_cast<char*>(text), std::strlen(text) + 1, "text.ptx", 0,
                            nullptr, nullptr);
  }
};

TEST_F(LinkerTest, LinksSeveralModulesIntoOneImage) {
  CUlinkState state = nullptr;
  void* image = nullptr;
  size_t size = 0;
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  ASSERT_EQ(AddPtx(state, fakes::kCallingModule), CUDA_SUCCESS);
  ASSERT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(state, &image, &size), CUDA_SUCCESS);
  ASSERT_NE(image, nullptr);
  EXPECT_GT(size, std::strlen(fakes::kCallingModule));
  EXPECT_EQ(Apply(image), 42u);
  // The image is as good a link's input as any.
  const std::vector<char> copy(static_cast<char*>(image), static_cast<char*>(image) + size);
  CUlinkState again = nullptr;
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &again), CUDA_SUCCESS);
  ASSERT_EQ(
      cuLinkAddData_v2(again, CU_JIT_INPUT_CUBIN, const_cast<char*>(copy.data()), size, "first", 0, nullptr, nullptr),
      CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(again, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(again), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, FilesAreRead) {
  char path[] = "/tmp/outboard_link_XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  const size_t size = std::strlen(fakes::kCalledModule);
  ASSERT_EQ(write(file, fakes::kCalledModule, size), static_cast<ssize_t>(size));
  close(file);
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(cuLinkCreate(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  ASSERT_EQ(cuLinkAddFile_v2(state, CU_JIT_INPUT_PTX, path, 0, nullptr, nullptr), CUDA_SUCCESS);
  unlink(path);
  EXPECT_EQ(cuLinkAddFile(state, CU_JIT_INPUT_PTX, path, 0, nullptr, nullptr), CUDA_ERROR_FILE_NOT_FOUND);
  ASSERT_EQ(cuLinkAddData(state, CU_JIT_INPUT_PTX, const_cast<char*>(fakes::kCallingModule),
                          std::strlen(fakes::kCallingModule) + 1, "text.ptx", 0, nullptr, nullptr),
            CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

// The memory of cuLinkCreate's logs is filled by every later call, up to the size that it had in the beginning.
TEST_F(LinkerTest, LogsSayWhatIsWrong) {
  char errors[4096] = "untouched";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_WALL_TIME};
  void* values[] = {errors, reinterpret_cast<void*>(sizeof errors), nullptr};
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(cuLinkCreate_v2(3, options, values, &state), CUDA_SUCCESS);
  EXPECT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_SUCCESS);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[1]), 0u);
  EXPECT_STREQ(errors, "");
  EXPECT_EQ(AddPtx(state, ".version 7.0\n.target sm_75\n.address_size 64\n.entry ("), CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[1]), std::strlen(errors));
  EXPECT_NE(std::strlen(errors), 0u);
  EXPECT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_ERROR_INVALID_IMAGE) << "the function is there twice";
  EXPECT_NE(std::string(errors).find("triple"), std::string::npos) << errors;
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, WrongUse) {
  CUlinkState state = nullptr;
  void* image = nullptr;
  char text[] = "text";
  CUjit_option none = CU_JIT_NUM_OPTIONS;
  void* value = nullptr;
  const auto add = [&](CUjitInputType type, void* data, size_t size) {
    return cuLinkAddData_v2(state, type, data, size, nullptr, 0, nullptr, nullptr);
  };
  EXPECT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkCreate_v2(1, nullptr, nullptr, &state), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkCreate_v2(1, &none, &value, &state), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkDestroy(nullptr), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  EXPECT_EQ(add(CU_JIT_INPUT_PTX, nullptr, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(add(CU_JIT_INPUT_PTX, text, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(add(CU_JIT_NUM_INPUT_TYPES, text, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(add(CU_JIT_INPUT_LIBRARY, text, 4), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuLinkAddFile_v2(state, CU_JIT_INPUT_PTX, nullptr, 0, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkComplete(state, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
  EXPECT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_ERROR_INVALID_HANDLE);
}

