# SPDX-License-Identifier: MIT
# What accrete links to. The build tree and the installed package run these same functions, because
# a header-only package has to look for its providers on the machine that uses it.
include(CheckCXXSourceCompiles)

# accrete_find_eigen(): Eigen3::Eigen, a parent project's own before an installed one. Sets
# accrete_eigen_version, and accrete_eigen_error to what is wrong. No version is asked for, since
# the version files of Eigen 3.4 and 5.x reject each other.
macro(accrete_find_eigen)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 CONFIG QUIET)
  endif()
  accrete_check_eigen(accrete_eigen_version accrete_eigen_error)
endmacro()

# The version is that of the headers compiled: another Eigen may be installed beside them.
function(accrete_check_eigen version_result error_result)
  set(${version_result} "" PARENT_SCOPE)
  set(${error_result} "" PARENT_SCOPE)
  set(remedy "Install a newer one (Debian, Ubuntu: libeigen3-dev), set Eigen3_DIR, or define the "
             "target Eigen3::Eigen.")
  list(JOIN remedy "" remedy)
  if(NOT TARGET Eigen3::Eigen)
    set(${error_result} "accrete needs Eigen 3.4 or newer, and none is found. ${remedy}"
        PARENT_SCOPE)
    return()
  endif()
  get_target_property(folders Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
  foreach(folder IN LISTS folders)
    string(REGEX REPLACE "^\\$<BUILD_INTERFACE:(.*)>$" "\\1" folder "${folder}")
    set(version "")
    # Eigen 5 has the first file alone, where WORLD stays 3 and is no part of the version.
    foreach(header IN ITEMS Eigen/Version Eigen/src/Core/util/Macros.h)
      if(version STREQUAL "" AND EXISTS "${folder}/${header}")
        foreach(part IN ITEMS WORLD MAJOR MINOR)
          file(STRINGS "${folder}/${header}" line REGEX "define EIGEN_${part}_VERSION +[0-9]+")
          string(REGEX MATCH "[0-9]+$" number_${part} "${line}")
        endforeach()
        set(version "${number_MAJOR}.${number_MINOR}")
        if(number_MAJOR VERSION_LESS 5)
          set(version "${number_WORLD}.${version}")
        endif()
      endif()
    endforeach()
    if(version MATCHES "^[0-9]+\\.[0-9]+")
      set(${version_result} "${version}" PARENT_SCOPE)
      if(version VERSION_LESS 3.4)
        set(${error_result}
            "accrete needs Eigen 3.4 or newer, but ${folder} is Eigen ${version}. ${remedy}"
            PARENT_SCOPE)
      endif()
      return()
    endif()
  endforeach()
endfunction()

# Parallel loops of the CPU backend. Kept out of the exported targets: the user's compiler decides.
macro(accrete_add_openmp target)
  set(accrete_openmp FALSE)
  if(ACCRETE_WITH_OPENMP OR NOT DEFINED ACCRETE_WITH_OPENMP)
    find_package(OpenMP QUIET COMPONENTS CXX)
    set(accrete_openmp "${OpenMP_CXX_FOUND}")
  endif()
  if(accrete_openmp)
    set_property(
      TARGET ${target}
      APPEND
      PROPERTY INTERFACE_LINK_LIBRARIES "$<BUILD_INTERFACE:OpenMP::OpenMP_CXX>")
  else()
    # Loops are vectorised all the same; this needs no runtime library.
    set_property(
      TARGET ${target}
      APPEND
      PROPERTY INTERFACE_COMPILE_OPTIONS
               "$<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-fopenmp-simd>>")
    set_property(
      TARGET ${target}
      APPEND
      PROPERTY
        INTERFACE_COMPILE_DEFINITIONS
        "$<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:ACCRETE_OPENMP_SIMD>>")
  endif()
endmacro()

# accrete_check_provider(RESULT header-folder library source): whether a program compiles with them
# and links. Asked again when one of them changes. A project that has not enabled C++ cannot tell.
function(accrete_check_provider result folder library source)
  if(NOT CMAKE_CXX_COMPILER_LOADED)
    set(${result} TRUE PARENT_SCOPE)
    return()
  endif()
  set(asked "${CMAKE_CXX_COMPILER};${folder};${library}")
  if(NOT "${${result}_ASKED}" STREQUAL "${asked}")
    unset(${result} CACHE)
    set(${result}_ASKED "${asked}" CACHE INTERNAL "What ${result} was checked with")
  endif()
  set(CMAKE_REQUIRED_QUIET TRUE)
  set(CMAKE_REQUIRED_INCLUDES "${folder}")
  set(CMAKE_REQUIRED_LIBRARIES "${library}")
  if(accrete_openmp)
    # A static library leaves its OpenMP runtime to the program.
    list(APPEND CMAKE_REQUIRED_LIBRARIES OpenMP::OpenMP_CXX)
  endif()
  check_cxx_source_compiles("${source}" ${result})
endfunction()

# accrete_add_provider(name definition header-folder library source): accrete::name, where a program
# works with it; sets accrete_name_status to what was found.
function(accrete_add_provider name definition folder library source)
  if(NOT EXISTS "${folder}" OR NOT EXISTS "${library}")
    set(accrete_${name}_status "no" PARENT_SCOPE)
    return()
  endif()
  string(TOUPPER "ACCRETE_${name}_WORKS" works)
  accrete_check_provider(${works} "${folder}" "${library}" "${source}")
  if(${works})
    add_library(accrete::${name} INTERFACE IMPORTED GLOBAL)
    target_compile_definitions(accrete::${name} INTERFACE ${definition})
    target_include_directories(accrete::${name} SYSTEM INTERFACE "${folder}")
    target_link_libraries(accrete::${name} INTERFACE accrete::accrete "${library}")
    set(accrete_${name}_status "yes" PARENT_SCOPE)
  else()
    set(accrete_${name}_status
        "no (${library} is found, but a program with the headers in ${folder} does not link to it)"
        PARENT_SCOPE)
  endif()
endfunction()

# accrete::onednn: products through oneDNN. Header and library are looked for by name: oneDNN's own
# configuration ends everyone's where OpenCL, which it was built with, has no development files.
macro(accrete_add_onednn)
  set(accrete_onednn_status "off")
  if(TARGET accrete::onednn)
    set(accrete_onednn_status "yes")
  elseif(ACCRETE_WITH_ONEDNN OR NOT DEFINED ACCRETE_WITH_ONEDNN)
    if(TARGET DNNL::dnnl)
      add_library(accrete::onednn INTERFACE IMPORTED GLOBAL)
      target_compile_definitions(accrete::onednn INTERFACE ACCRETE_USE_ONEDNN)
      target_link_libraries(accrete::onednn INTERFACE accrete::accrete DNNL::dnnl)
      set(accrete_onednn_status "yes")
    else()
      find_path(
        ACCRETE_DNNL_INCLUDE_DIR dnnl.h
        HINTS "${dnnl_ROOT}" ENV dnnl_ROOT
        PATH_SUFFIXES include
        DOC "Folder of dnnl.h")
      find_library(
        ACCRETE_DNNL_LIBRARY dnnl
        HINTS "${dnnl_ROOT}" ENV dnnl_ROOT
        PATH_SUFFIXES lib
        DOC "oneDNN's library")
      mark_as_advanced(ACCRETE_DNNL_INCLUDE_DIR ACCRETE_DNNL_LIBRARY)
      accrete_add_provider(
        onednn
        ACCRETE_USE_ONEDNN
        "${ACCRETE_DNNL_INCLUDE_DIR}"
        "${ACCRETE_DNNL_LIBRARY}"
        "#include <dnnl.h>
        #if DNNL_VERSION_MAJOR < 2
        #error too old
        #endif
        int main() {
          const dnnl_dims_t one = {1};
          dnnl_memory_desc_t description;
        #if DNNL_VERSION_MAJOR >= 3
          dnnl_memory_desc_create_with_strides(&description, 1, one, dnnl_bf16, one);
        #else
          dnnl_memory_desc_init_by_strides(&description, 1, one, dnnl_bf16, one);
        #endif
          float x = 1;
          return dnnl_sgemm('N', 'N', 1, 1, 1, x, &x, 1, &x, 1, x, &x, 1);
        }")
    endif()
  endif()
endmacro()

# accrete::blas: products through a system CBLAS.
macro(accrete_add_blas)
  set(accrete_blas_status "off")
  if(TARGET accrete::blas)
    set(accrete_blas_status "yes")
  elseif(ACCRETE_WITH_BLAS OR NOT DEFINED ACCRETE_WITH_BLAS)
    find_path(
      ACCRETE_CBLAS_INCLUDE_DIR cblas.h
      PATH_SUFFIXES openblas openblas-pthread blis
      DOC "Folder of cblas.h")
    find_library(
      ACCRETE_CBLAS_LIBRARY
      NAMES openblas blis mkl_rt cblas
      DOC "Library with the CBLAS interface")
    mark_as_advanced(ACCRETE_CBLAS_INCLUDE_DIR ACCRETE_CBLAS_LIBRARY)
    accrete_add_provider(
      blas
      ACCRETE_USE_BLAS
      "${ACCRETE_CBLAS_INCLUDE_DIR}"
      "${ACCRETE_CBLAS_LIBRARY}"
      "#include <cblas.h>
      int main() {
        float x = 1;
        double y = 1;
        cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, 1, 1, 1, x, &x, 1, &x, 1, x, &x, 1);
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, 1, 1, 1, y, &y, 1, &y, 1, y, &y, 1);
      }")
  endif()
endmacro()
