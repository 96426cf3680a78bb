# Programs made by nvcc as users make them, without CMake's own CUDA language.

include_guard()

get_filename_component(outboard_toolkit ${OUTBOARD_NVCC}/../.. ABSOLUTE)
set(OUTBOARD_CUDA_LIBRARIES ${outboard_toolkit}/lib64)
# Code for every device from compute capability 7.5 on, and no time spent in ptxas.
set(OUTBOARD_PTX_ONLY -gencode arch=compute_75,code=compute_75)
set(OUTBOARD_NVCC_OPTIONS -std=c++17 -O2 -Xcompiler=-Wall,-Wextra,-ffp-contract=off)
if(OUTBOARD_WERROR)
  list(APPEND OUTBOARD_NVCC_OPTIONS -Werror all-warnings)
endif()

# outboard_cuda_program(NAME SRCS... [OPTIONS ...] [LIBS ...] [CUDART static shared]): NAME_static and NAME_shared, the
# same objects linked with either form of the CUDA runtime. OPTIONS go to nvcc; without -gencode or -arch among them,
# nvcc's default architectures are built.
function(outboard_cuda_program name)
  cmake_parse_arguments(arg "" "" "OPTIONS;LIBS;CUDART" ${ARGN})
  if(NOT arg_CUDART)
    set(arg_CUDART static shared)
  endif()
  set(objects)
  foreach(source ${arg_UNPARSED_ARGUMENTS})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.${source}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${OUTBOARD_NVCC} ${OUTBOARD_NVCC_OPTIONS} ${arg_OPTIONS} -c ${CMAKE_CURRENT_SOURCE_DIR}/${source}
              -o ${object} -MD -MF ${object}.d
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "nvcc ${source}"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(programs)
  foreach(cudart ${arg_CUDART})
    set(program ${CMAKE_CURRENT_BINARY_DIR}/${name}_${cudart})
    set(rpath)
    if(cudart STREQUAL shared)
      set(rpath -Xlinker -rpath=${OUTBOARD_CUDA_LIBRARIES})
    endif()
    add_custom_command(
      OUTPUT ${program}
      COMMAND ${OUTBOARD_NVCC} ${arg_OPTIONS} -cudart ${cudart} ${objects} -o ${program} ${rpath} ${arg_LIBS}
      DEPENDS ${objects}
      COMMENT "nvcc ${name}_${cudart}"
      VERBATIM)
    list(APPEND programs ${program})
  endforeach()
  add_custom_target(program_${name} ALL DEPENDS ${programs})
endfunction()

# outboard_driver_program(NAME SRCS...): NAME_driver, which knows the driver API alone and links with the driver alone.
function(outboard_driver_program name)
  add_executable(program_${name} ${ARGN})
  set_target_properties(program_${name} PROPERTIES OUTPUT_NAME ${name}_driver)
  target_link_libraries(program_${name} PRIVATE cuda_headers Threads::Threads outboard_driver_to_link)
endfunction()
