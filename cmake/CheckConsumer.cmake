# SPDX-License-Identifier: MIT
# cmake -DSOURCE=... -DBINARY=... -DGENERATOR=... -DSETTINGS=... -P CheckConsumer.cmake
# Configures a project from nothing, builds it and runs its program `consumer`, if it has one.

function(run)
  execute_process(
    COMMAND ${ARGN}
    RESULT_VARIABLE status
    OUTPUT_VARIABLE text
    ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nfailed (${status}):\n${text}")
  endif()
endfunction()

file(REMOVE_RECURSE "${BINARY}")
run("${CMAKE_COMMAND}" -S "${SOURCE}" -B "${BINARY}" -G "${GENERATOR}" ${SETTINGS})
run("${CMAKE_COMMAND}" --build "${BINARY}")
if(EXISTS "${BINARY}/consumer")
  run("${BINARY}/consumer")
endif()
