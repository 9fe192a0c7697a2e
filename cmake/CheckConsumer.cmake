# SPDX-License-Identifier: MIT
# cmake -DSOURCE=... -DBINARY=... -DGENERATOR=... -DSETTINGS=... -P CheckConsumer.cmake
# Configures a project from nothing, builds it and runs its tests, if it has any.

function(run)
  execute_process(
    COMMAND ${ARGN}
    RESULT_VARIABLE status
    OUTPUT_VARIABLE text
    ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nfailed (${status}):\n${text}")
  endif()
  set(output "${text}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${BINARY}")
run("${CMAKE_COMMAND}" -S "${SOURCE}" -B "${BINARY}" -G "${GENERATOR}" ${SETTINGS})
run("${CMAKE_COMMAND}" --build "${BINARY}")
if(EXISTS "${BINARY}/CTestTestfile.cmake")
  cmake_path(GET CMAKE_COMMAND PARENT_PATH folder)
  run("${folder}/ctest" --test-dir "${BINARY}" --no-tests=error --verbose)
  message("${output}")
endif()
