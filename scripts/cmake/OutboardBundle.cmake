# What `cmake --install` makes: a tree that works wherever it is moved. Shared libraries that a minimal Debian lacks (gRPC
# and what it needs) are copied into lib/outboard/private, where the programs and the transport plugin find them by a run
# path relative to themselves. The C and C++ runtimes are the system's: those of the machine that builds may be newer than
# those of the machine that runs. Included last, as it speaks of targets of all folders.

if(NOT TARGET outboard_proto)
  return()
endif()

set(OUTBOARD_OF_THE_SYSTEM
  "^(libc|libm|libpthread|libdl|librt|libresolv|libstdc\\+\\+|libgcc_s|ld-linux-x86-64)\\.so(\\.|$)")

add_custom_target(product DEPENDS gpu-run gpu-node gpu-worker gpu-pool outboard_shim outboard_nvml
  outboard_grpc_transport softgpu_cuda)

target_link_options(outboard_grpc_transport PRIVATE LINKER:--disable-new-dtags)
set_target_properties(outboard_grpc_transport PROPERTIES INSTALL_RPATH "$ORIGIN/private" BUILD_WITH_INSTALL_RPATH ON)
install(TARGETS outboard_grpc_transport LIBRARY DESTINATION lib/outboard)

install(CODE "
  file(GET_RUNTIME_DEPENDENCIES RESOLVED_DEPENDENCIES_VAR libraries CONFLICTING_DEPENDENCIES_PREFIX conflict
    EXECUTABLES \"$<TARGET_FILE:gpu-run>\" \"$<TARGET_FILE:gpu-node>\" \"$<TARGET_FILE:gpu-worker>\"
      \"$<TARGET_FILE:gpu-pool>\"
    MODULES \"$<TARGET_FILE:outboard_grpc_transport>\"
    PRE_EXCLUDE_REGEXES [[${OUTBOARD_OF_THE_SYSTEM}]])
  foreach(library IN LISTS libraries)
    get_filename_component(name \"\${library}\" NAME)
    file(REAL_PATH \"\${library}\" file)
    file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/outboard/private\" TYPE PROGRAM
      RENAME \"\${name}\" FILES \"\${file}\")
  endforeach()
")
