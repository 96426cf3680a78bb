# Wrong uses are checked here too, for the sanitizers' sake; tests/programs runs them through the stack.
target_link_libraries(${name} PRIVATE wrong_uses)
