# What `cmake --install` makes: a tree that works wherever it is moved. Shared libraries that a minimal Debian lacks (gRPC
# and what it needs) are copied into lib/outboard/private, where the programs and the transport plugin find them by a run
# path relative to themselves. The C and C++ runtimes are the system's: those of the machine that builds may be newer than
# those of the machine that runs. Included last, as it speaks of targets of all folders.

if(NOT TARGET outboard_proto)
  return()
endif()

set(OUTBOARD_OF_THE_SYSTEM
  "^(libc|libm|libpthread|libdl|librt|libresolv|libstdc\\+\\+|libgcc_s|ld-linux-x86-64)\\.so(\\.|$)")

add_custom_target(product DEPENDS gpu-run gpu-node gpu-worker gpu-pool outboard_admin_texts outboard_shim
  outboard_nvml outboard_grpc_transport softgpu_cuda)

target_link_options(outboard_grpc_transport PRIVATE LINKER:--disable-new-dtags)
set_target_properties(outboard_grpc_transport PROPERTIES INSTALL_RPATH "$ORIGIN/private" BUILD_WITH_INSTALL_RPATH ON)
install(TARGETS outboard_grpc_transport LIBRARY DESTINATION lib/outboard COMPONENT client)

# outboard_bundle(COMPONENT PROGRAMS x y MODULES z): the libraries that these need.
function(outboard_bundle component)
  cmake_parse_arguments(arg "" "" "PROGRAMS;MODULES" ${ARGN})
  list(TRANSFORM arg_PROGRAMS REPLACE "(.+)" "\"$<TARGET_FILE:\\1>\"")
  list(TRANSFORM arg_MODULES REPLACE "(.+)" "\"$<TARGET_FILE:\\1>\"")
  list(JOIN arg_PROGRAMS " " programs)
  list(JOIN arg_MODULES " " modules)
  install(CODE "
    file(GET_RUNTIME_DEPENDENCIES RESOLVED_DEPENDENCIES_VAR libraries CONFLICTING_DEPENDENCIES_PREFIX conflict
      EXECUTABLES ${programs} MODULES ${modules} PRE_EXCLUDE_REGEXES [[${OUTBOARD_OF_THE_SYSTEM}]])
    foreach(library IN LISTS libraries)
      get_filename_component(name \"\${library}\" NAME)
      file(REAL_PATH \"\${library}\" file)
      file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/outboard/private\" TYPE PROGRAM
        RENAME \"\${name}\" FILES \"\${file}\")
    endforeach()
  " COMPONENT ${component})
endfunction()
outboard_bundle(client PROGRAMS gpu-run gpu-admin gpu-node gpu-worker MODULES outboard_grpc_transport)
outboard_bundle(server PROGRAMS gpu-pool gpu-admin gpu-node gpu-worker)

# For who runs machines with GPUs.
set(deploy ${CMAKE_SOURCE_DIR}/scripts/deploy)
install(FILES ${deploy}/gpu-pool.service ${deploy}/gpu-node.service DESTINATION lib/systemd/system COMPONENT server)
install(FILES ${deploy}/pool.yaml DESTINATION share/doc/outboard COMPONENT server)
outboard_install(FILES ${CMAKE_SOURCE_DIR}/docs/operations.md DESTINATION share/doc/outboard COMPONENTS client server)
outboard_install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION share/doc/outboard COMPONENTS client server)
