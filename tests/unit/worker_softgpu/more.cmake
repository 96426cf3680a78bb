# The driver of tests that need a true one.
target_compile_definitions(${name} PRIVATE OUTBOARD_SOFTGPU_CUDA="$<TARGET_FILE:softgpu_cuda>")
add_dependencies(${name} softgpu_cuda)
