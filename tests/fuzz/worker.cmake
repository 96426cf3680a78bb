# The worker's driver.
target_compile_definitions(${target} PRIVATE OUTBOARD_SOFTGPU_CUDA="$<TARGET_FILE:softgpu_cuda>")
add_dependencies(${target} softgpu_cuda)
