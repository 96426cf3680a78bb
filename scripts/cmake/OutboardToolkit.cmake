# The CUDA toolkit: its headers for the product, nvcc for test programs. From CUDAToolkit_ROOT, the usual place, or the folder that
# scripts/setup filled from NVIDIA's toolkit wheels.

set(CUDAToolkit_ROOT "$ENV{CUDAToolkit_ROOT}" CACHE PATH "Root of the CUDA toolkit")
set(toolkit_hints ${CUDAToolkit_ROOT} /usr/local/cuda ${CMAKE_SOURCE_DIR}/build/toolkit)
find_path(OUTBOARD_CUDA_INCLUDE cuda.h HINTS ${toolkit_hints} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_program(OUTBOARD_NVCC nvcc HINTS ${toolkit_hints} PATH_SUFFIXES bin NO_DEFAULT_PATH)
if(NOT OUTBOARD_CUDA_INCLUDE)
  message(FATAL_ERROR "cuda.h is in none of: ${toolkit_hints}. Run scripts/setup, or set CUDAToolkit_ROOT.")
endif()

add_library(cuda_headers INTERFACE)
target_include_directories(cuda_headers SYSTEM INTERFACE ${OUTBOARD_CUDA_INCLUDE})
