# The worker's driver, which the shim's calls of the same names must not meet: opened as a library.
target_compile_definitions(${name} PRIVATE OUTBOARD_SOFTGPU_CUDA="$<TARGET_FILE:softgpu_cuda>")
add_dependencies(${name} softgpu_cuda)
target_link_libraries(${name} PRIVATE outboard_fakes)
target_sources(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/stack/stack.cc)
if(folder STREQUAL "stack")
  target_link_libraries(${name} PRIVATE wrong_uses)
endif()
