# The library of the node's tests.
target_compile_definitions(${name} PRIVATE OUTBOARD_FAKE_NVML="$<TARGET_FILE:fake_nvml>")
add_dependencies(${name} fake_nvml)
