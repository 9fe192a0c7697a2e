# SPDX-License-Identifier: MIT
# accrete::compiled: planner, executor and kernels once instead of in every file that uses them,
# with the best product library that was found. Its users include the same headers.

if(TARGET accrete::onednn)
  set(accrete_best accrete::onednn)
else()
  set(accrete_best accrete::accrete)
endif()

add_library(
  accrete_compiled STATIC
  "${PROJECT_SOURCE_DIR}/src/bfloat16_kernels.cpp" "${PROJECT_SOURCE_DIR}/src/double_kernels.cpp"
  "${PROJECT_SOURCE_DIR}/src/float_kernels.cpp" "${PROJECT_SOURCE_DIR}/src/host.cpp"
  "${PROJECT_SOURCE_DIR}/src/planner.cpp")
add_library(accrete::compiled ALIAS accrete_compiled)
target_compile_definitions(
  accrete_compiled
  PUBLIC ACCRETE_COMPILED
  PRIVATE ACCRETE_COMPILING)
target_link_libraries(accrete_compiled PUBLIC ${accrete_best})
set_target_properties(accrete_compiled PROPERTIES EXPORT_NAME compiled POSITION_INDEPENDENT_CODE ON)
if(ACCRETE_NATIVE)
  target_compile_options(accrete_compiled PRIVATE -march=native)
endif()
if(NOT ACCRETE_BUILD_COMPILED)
  set_target_properties(accrete_compiled PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
