# The tests of the gRPC transport load the plugin, and have a worker's edge as their peer; a program measures the two.

target_sources(${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/peer.cc)
add_executable(transport_round_trip ${CMAKE_CURRENT_LIST_DIR}/round_trip.cc ${CMAKE_CURRENT_LIST_DIR}/peer.cc)
foreach(program ${name} transport_round_trip)
  target_link_libraries(${program} PRIVATE outboard_worker_service outboard_worker_control)
  target_compile_definitions(${program} PRIVATE
    OUTBOARD_TRANSPORT_PLUGIN_FILE="$<TARGET_FILE:outboard_grpc_transport>"
    OUTBOARD_WORKER_FILE="$<TARGET_FILE:gpu-worker>"
    OUTBOARD_SOFTGPU_FILE="$<TARGET_FILE:softgpu_cuda>")
  add_dependencies(${program} outboard_grpc_transport gpu-worker softgpu_cuda)
endforeach()

# gRPC's -pthread defines a macro that the precompiled headers were made without.
set_target_properties(unit_transport PROPERTIES DISABLE_PRECOMPILE_HEADERS ON)
