# The same stack as that of the folder stack.
include(${CMAKE_CURRENT_SOURCE_DIR}/stack/more.cmake)
