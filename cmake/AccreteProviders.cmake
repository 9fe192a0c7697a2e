# SPDX-License-Identifier: MIT
# What accrete links to. The build tree and the installed package run these same functions, because
# a header-only package has to look for its providers on the machine that uses it.

# Eigen is found without a version: its 3.4 and 5.x version files reject each other.
macro(accrete_find_eigen)
  find_package(Eigen3 CONFIG REQUIRED)
  set(accrete_eigen_version "${Eigen3_VERSION}")
  if(NOT accrete_eigen_version)
    set(accrete_eigen_version "${EIGEN3_VERSION_STRING}")
  endif()
  if(accrete_eigen_version VERSION_LESS 3.4)
    message(
      FATAL_ERROR
        "accrete needs Eigen 3.4 or newer, but ${Eigen3_DIR} is Eigen ${accrete_eigen_version}. "
        "Install a newer one (Debian, Ubuntu: libeigen3-dev) or set Eigen3_DIR.")
  endif()
endmacro()

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
  endif()
endmacro()

# accrete::onednn: products through oneDNN.
macro(accrete_add_onednn)
  if((ACCRETE_WITH_ONEDNN OR NOT DEFINED ACCRETE_WITH_ONEDNN) AND NOT TARGET accrete::onednn)
    # oneDNN's own config file requires OpenCL when it was built with it.
    find_package(dnnl CONFIG QUIET)
    if(TARGET DNNL::dnnl)
      add_library(accrete::onednn INTERFACE IMPORTED GLOBAL)
      target_compile_definitions(accrete::onednn INTERFACE ACCRETE_USE_ONEDNN)
      target_link_libraries(accrete::onednn INTERFACE accrete::accrete DNNL::dnnl)
    endif()
  endif()
endmacro()

# accrete::blas: products through a system CBLAS.
macro(accrete_add_blas)
  if((ACCRETE_WITH_BLAS OR NOT DEFINED ACCRETE_WITH_BLAS) AND NOT TARGET accrete::blas)
    find_path(
      ACCRETE_CBLAS_INCLUDE_DIR cblas.h
      PATH_SUFFIXES openblas openblas-pthread blis
      DOC "Folder of cblas.h")
    find_library(
      ACCRETE_CBLAS_LIBRARY
      NAMES openblas blis mkl_rt cblas
      DOC "Library with the CBLAS interface")
    mark_as_advanced(ACCRETE_CBLAS_INCLUDE_DIR ACCRETE_CBLAS_LIBRARY)
    if(ACCRETE_CBLAS_INCLUDE_DIR AND ACCRETE_CBLAS_LIBRARY)
      add_library(accrete::blas INTERFACE IMPORTED GLOBAL)
      target_compile_definitions(accrete::blas INTERFACE ACCRETE_USE_BLAS)
      target_include_directories(accrete::blas SYSTEM INTERFACE "${ACCRETE_CBLAS_INCLUDE_DIR}")
      target_link_libraries(accrete::blas INTERFACE accrete::accrete "${ACCRETE_CBLAS_LIBRARY}")
    endif()
  endif()
endmacro()
