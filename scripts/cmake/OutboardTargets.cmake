# Compiler settings and the one way to declare a library.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_package(Threads REQUIRED)
include(GNUInstallDirs)

# -Wrestrict: g++ 12 reports it falsely for std::string (GCC bug 105329).
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers
                    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> -ffp-contract=off)
if(CMAKE_UNITY_BUILD)
  # Several sources at a time, as the presets release, asan and tsan are built, take a third less to compile. Each source
  # still includes what it uses: dev and fuzz see to that. What a source has in an anonymous namespace is named after it.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)  # false where a source is included in another
endif()
if(OUTBOARD_WERROR)
  add_compile_options(-Werror)
endif()
if(OUTBOARD_SANITIZE)
  # enum: a C program may hand any int over as an enumeration (C11 6.7.2.2), and without -fstrict-enums the compilers
  # take any; what a call does not know it refuses.
  add_compile_options(-fsanitize=${OUTBOARD_SANITIZE} -fno-sanitize=enum -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OUTBOARD_SANITIZE})
endif()

# What most sources include of the standard library, parsed once. The presets dev and fuzz go without, so that they see
# a source that lacks an include.
option(OUTBOARD_PRECOMPILE "Precompile the standard library's headers" ON)
add_library(standard_headers OBJECT EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/headers.cc)
target_precompile_headers(standard_headers PRIVATE
  <algorithm> <array> <atomic> <chrono> <condition_variable> <functional> <map> <memory> <mutex> <optional> <span>
  <string> <string_view> <unordered_map> <utility> <vector>)

# outboard_precompiled(NAME HEADERS): NAME's sources, compiled with the same options, begin with the headers of HEADERS.
function(outboard_precompiled name headers)
  if(OUTBOARD_PRECOMPILE)
    target_precompile_headers(${name} REUSE_FROM ${headers})
    # What g++ 12 reports falsely for std::string (GCC bug 105329) it then no longer takes for a system header's.
    target_compile_options(${name} PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow;-Wno-array-bounds>")
  endif()
endfunction()

# outboard_compiled_quickly(NAME...): whose speed nobody would notice, as they ask, print and configure.
function(outboard_compiled_quickly)
  foreach(name ${ARGN})
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  endforeach()
endfunction()

# outboard_library(NAME SRCS a.cc b.cc DEPS x y): a static library that includes from the project's root.
function(outboard_library name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS" ${ARGN})
  add_library(${name} STATIC ${arg_SRCS})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${arg_DEPS})
  if(NOT arg_DEPS MATCHES "gRPC::|outboard_proto")  # which bring -pthread, an option of its own
    outboard_precompiled(${name} standard_headers)
  endif()
endfunction()

# outboard_install(... COMPONENTS x y): install(...) for each of the components: client, which runs programs on GPUs
# elsewhere, and server, which lends GPUs out (scripts/package).
function(outboard_install)
  cmake_parse_arguments(arg "" "" "COMPONENTS" ${ARGN})
  foreach(component ${arg_COMPONENTS})
    install(${arg_UNPARSED_ARGUMENTS} COMPONENT ${component})
  endforeach()
endfunction()

# outboard_driver_library(NAME LIBRARY FOLDER OBJECTS...): a libLIBRARY.so.1 that stands for NVIDIA's, in
# lib/outboard/FOLDER, installed there. It exports what the libLIBRARY.map beside the caller says.
function(outboard_driver_library name library folder)
  add_library(${name} SHARED ${ARGN} ${CMAKE_SOURCE_DIR}/common/portable/find_object.cc)
  # VERSION 1: the file, its SONAME and what programs open have the same name.
  set_target_properties(${name} PROPERTIES
    OUTPUT_NAME ${library} VERSION 1 SOVERSION 1 LINKER_LANGUAGE CXX
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/outboard/${folder}
    LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/lib${library}.map)
  # The runtime's exit handlers call the driver until the very end, so it is never unloaded.
  target_link_options(${name} PRIVATE
    LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/lib${library}.map LINKER:-z,nodelete LINKER:--exclude-libs,ALL)
  if(NOT OUTBOARD_SANITIZE)
    # --gc-sections: what libstdc++ has beyond our use needs a newer C library than we do.
    target_link_options(${name} PRIVATE LINKER:-z,defs -static-libstdc++ -static-libgcc LINKER:--gc-sections)
  endif()
  # A client has the software GPU too, for nodes of its own.
  outboard_install(TARGETS ${name} LIBRARY DESTINATION lib/outboard/${folder} COMPONENTS client)
  if(folder STREQUAL softgpu)
    outboard_install(TARGETS ${name} LIBRARY DESTINATION lib/outboard/${folder} COMPONENTS server)
  endif()
endfunction()

# outboard_program(NAME SRCS a.cc DEPS x y COMPONENTS z): a program in bin/, installed there with these components. It finds the libraries that are bundled
# with an installation (OutboardBundle.cmake) before the system's, also those that other bundled libraries need: hence
# the older kind of run path, which counts for those too.
function(outboard_program name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS;COMPONENTS" ${ARGN})
  add_executable(${name} ${arg_SRCS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  target_link_options(${name} PRIVATE LINKER:--disable-new-dtags LINKER:--as-needed)
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin
    INSTALL_RPATH "$ORIGIN/../lib/outboard/private" BUILD_WITH_INSTALL_RPATH ON)
  outboard_install(TARGETS ${name} RUNTIME DESTINATION bin COMPONENTS ${arg_COMPONENTS})
endfunction()
