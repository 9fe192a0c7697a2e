# SPDX-License-Identifier: MIT

# accrete_add_tests(NAME BACKEND tag LIBRARY target [OPTIMIZED] [SCALAR scalar] SOURCES files...)
# One executable of all the files (relative to the current folder), and one ctest entry for each
# folder of them. Without OPTIMIZED it is compiled at -O1, in half the time; SCALAR has templated
# tests for that scalar alone.
function(accrete_add_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "OPTIMIZED" "BACKEND;LIBRARY;SCALAR" "SOURCES")
  add_executable(${name} ${arg_SOURCES} $<TARGET_OBJECTS:accrete_test_main>)
  if(arg_BACKEND STREQUAL "Remote")
    target_compile_definitions(${name} PRIVATE ACCRETE_TEST_BACKEND=remote::Remote
                                               ACCRETE_TEST_DEVICE="remote.hpp")
  elseif(arg_BACKEND STREQUAL "Cuda")
    target_compile_definitions(${name} PRIVATE ACCRETE_TEST_BACKEND=accrete::Cuda
                                               ACCRETE_TEST_DEVICE="cuda_device.hpp")
  else()
    target_compile_definitions(${name} PRIVATE ACCRETE_TEST_BACKEND=accrete::${arg_BACKEND})
  endif()
  if(arg_SCALAR)
    target_compile_definitions(${name} PRIVATE ACCRETE_TEST_SCALAR=${arg_SCALAR})
  endif()
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${arg_LIBRARY} doctest::doctest accrete_eigen
                                        $<TARGET_NAME_IF_EXISTS:rapidcheck>)
  if(NOT arg_OPTIMIZED AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(${name} PRIVATE -O1)
  endif()
  # A precompiled header takes as long as some files save by it.
  list(LENGTH arg_SOURCES count)
  if(count GREATER 5)
    target_precompile_headers(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/precompiled.hpp")
  else()
    target_compile_options(${name} PRIVATE "SHELL:-include eigen_instantiations.hpp")
  endif()

  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME here)
  set(entries)
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(GET source PARENT_PATH folder)
    if(folder STREQUAL "" OR folder STREQUAL "tests")
      set(entry "${name}")
    else()
      set(entry "${name}/${folder}")
    endif()
    list(APPEND entries "${entry}")
    list(APPEND "filter_${entry}" "*/${here}/${source}")
  endforeach()
  list(REMOVE_DUPLICATES entries)
  foreach(entry IN LISTS entries)
    list(JOIN "filter_${entry}" "," filter)
    add_test(NAME ${entry} COMMAND ${name} "--source-file=${filter}")
    set_tests_properties(${entry} PROPERTIES TIMEOUT 600 FAIL_REGULAR_EXPRESSION
                                                         "test cases: +0 ")
    if(arg_BACKEND STREQUAL "Cpu")
      # They start threads themselves.
      set_tests_properties(${entry} PROPERTIES PROCESSORS 2)
    endif()
  endforeach()
endfunction()
