# SPDX-License-Identifier: MIT
# cmake -DCOMPILER=... -DINCLUDES=response-file -DSOURCE=case.cpp -P CheckCompileFail.cmake

file(STRINGS "${SOURCE}" expected REGEX "^// expected error: " LIMIT_COUNT 1)
string(REGEX REPLACE "^// expected error: " "" expected "${expected}")
# file(STRINGS) escapes what separates lists.
string(REPLACE "\\;" ";" expected "${expected}")
if(expected STREQUAL "")
  message(FATAL_ERROR "${SOURCE} has no line `// expected error: TEXT`")
endif()

function(compile result output)
  execute_process(
    COMMAND "${COMPILER}" -std=c++20 -fsyntax-only "@${INCLUDES}" ${ARGN} "${SOURCE}"
    RESULT_VARIABLE status
    OUTPUT_VARIABLE text
    ERROR_VARIABLE text)
  set(${result} "${status}" PARENT_SCOPE)
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

compile(status output -DACCRETE_EXPECT_OK)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "the control does not compile:\n${output}")
endif()
compile(status output)
if(status EQUAL 0)
  message(FATAL_ERROR "this compiles, but should say: ${expected}")
endif()
string(FIND "${output}" "${expected}" position)
if(position EQUAL -1)
  message(FATAL_ERROR "the error should say: ${expected}\nbut the compiler says:\n${output}")
endif()
