# What the node's sensors are read by, in place of NVIDIA's.
add_library(fake_nvml SHARED ${CMAKE_SOURCE_DIR}/tests/fakes/nvml.cc)
target_include_directories(fake_nvml PRIVATE ${CMAKE_SOURCE_DIR})
target_compile_definitions(${name} PRIVATE OUTBOARD_FAKE_NVML="$<TARGET_FILE:fake_nvml>")
add_dependencies(${name} fake_nvml)
