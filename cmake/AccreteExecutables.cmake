# SPDX-License-Identifier: MIT
# Flags of our own tests, examples and benchmarks. None of them reaches a user's targets.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE
      Release
      CACHE STRING "Build type" FORCE)
endif()

# There are no modules to look for, and ccache refuses the flags that look for them.
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

# ccache takes precompiled headers only with this sloppiness and with the compiler flags below. What
# another checkout compiled is found too: paths in debug information do not matter.
find_program(ACCRETE_CCACHE ccache)
mark_as_advanced(ACCRETE_CCACHE)
if(ACCRETE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_NOHASHDIR=1
      "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" "${ACCRETE_CCACHE}")
endif()

add_library(accrete_executable INTERFACE)
target_compile_options(
  accrete_executable
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wnon-virtual-dtor
            # g++ 12 warns about its own AVX-512 header and its own std::string.
            $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-uninitialized;-Wno-restrict>
            $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-stringop-overflow>
            $<$<BOOL:${ACCRETE_WERROR}>:-Werror>
            $<$<BOOL:${ACCRETE_NATIVE}>:-march=native>
            $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>
            "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
if(ACCRETE_SANITIZE)
  string(REGEX MATCH "address" sanitizes_addresses "${ACCRETE_SANITIZE}")
  target_compile_options(
    accrete_executable
    INTERFACE -fsanitize=${ACCRETE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
              # AddressSanitizer stops there too, and this check is half of the compile time.
              $<$<STREQUAL:${sanitizes_addresses},address>:-fno-sanitize=null>)
  target_link_options(accrete_executable INTERFACE -fsanitize=${ACCRETE_SANITIZE})
endif()

# Eigen's heavy templates, with which tests and benchmarks compare: instantiated once.
add_library(accrete_eigen STATIC "${CMAKE_CURRENT_LIST_DIR}/instantiations/eigen_float.cpp"
                                 "${CMAKE_CURRENT_LIST_DIR}/instantiations/eigen_double.cpp")
target_include_directories(accrete_eigen PUBLIC "${CMAKE_CURRENT_LIST_DIR}/instantiations")
# With OpenMP where the tests have it: Eigen shares a product out within this code.
target_link_libraries(accrete_eigen PUBLIC accrete::accrete accrete_executable)

# It is tested under the sanitizers too, and with our warnings.
target_link_libraries(accrete_compiled PRIVATE $<BUILD_INTERFACE:accrete_executable>)
