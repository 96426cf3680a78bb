# What is generated from the spec (common/api/*.toml), all at once, into the build folder: #include "common/wire/ops.gen.h".
#
# A library that includes a .gen.h links outboard_generated (PUBLIC, if its own headers do); one that compiles a .gen.cc
# calls outboard_generated_sources. Included by common/api, before everything that needs it.

set(OUTBOARD_CODEGEN ${CMAKE_SOURCE_DIR}/scripts/codegen)
file(GLOB OUTBOARD_SPEC CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/common/api/*.toml)
set(generator ${OUTBOARD_CODEGEN}/generate.py ${OUTBOARD_CODEGEN}/spec.py ${OUTBOARD_CODEGEN}/parameters.py)

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${OUTBOARD_CODEGEN}/generate.py)
execute_process(COMMAND ${Python3_EXECUTABLE} -B ${OUTBOARD_CODEGEN}/generate.py --list
  OUTPUT_VARIABLE outputs OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" outputs "${outputs}")
list(TRANSFORM outputs PREPEND ${CMAKE_BINARY_DIR}/)

# Files that do not change keep their time, so that little is compiled again when one entry changes.
add_custom_command(OUTPUT ${outputs}
  COMMAND Python3::Interpreter -B ${OUTBOARD_CODEGEN}/generate.py --output ${CMAKE_BINARY_DIR} ${OUTBOARD_SPEC}
  DEPENDS ${OUTBOARD_SPEC} ${generator}
  COMMENT "Generating from the spec")
add_custom_target(outboard_codegen DEPENDS ${outputs})
outboard_install(FILES ${CMAKE_BINARY_DIR}/docs/calls.md DESTINATION share/doc/outboard COMPONENTS client server)

add_library(outboard_generated INTERFACE)
add_dependencies(outboard_generated outboard_codegen)
target_include_directories(outboard_generated INTERFACE ${CMAKE_BINARY_DIR})
# Defined as nothing, as sources do that define it themselves.
target_compile_definitions(outboard_generated INTERFACE __CUDA_API_VERSION_INTERNAL=)
target_link_libraries(outboard_generated INTERFACE cuda_headers)

# outboard_generated_sources(TARGET common/wire/ops.gen.cc ...): compiles generated sources into a target.
function(outboard_generated_sources target)
  list(TRANSFORM ARGN PREPEND ${CMAKE_BINARY_DIR}/ OUTPUT_VARIABLE sources)
  set_source_files_properties(${sources} PROPERTIES GENERATED ON)
  target_sources(${target} PRIVATE ${sources})
  add_dependencies(${target} outboard_codegen)
endfunction()
