# Wrong uses are checked here too, for the sanitizers' sake; tests/programs runs them through the stack.
set(wrong_uses ${CMAKE_SOURCE_DIR}/tests/programs/wrong_uses.cc)
target_sources(${name} PRIVATE ${wrong_uses})
set_source_files_properties(${wrong_uses} PROPERTIES COMPILE_DEFINITIONS __CUDA_API_VERSION_INTERNAL=)
