# SPDX-License-Identifier: MIT
# accrete::cuda where NVIDIA's toolkit is found: accrete::compiled, the kernels that nvcc compiles,
# cuBLAS, cuBLASLt and cuSOLVER. Without the toolkit nothing changes for anyone.

set(accrete_cuda_status "no")
if(ACCRETE_WITH_CUDA)
  find_package(CUDAToolkit 12.6 QUIET)
  if(CUDAToolkit_FOUND)
    set(accrete_cuda_status "the headers of CUDA ${CUDAToolkit_VERSION} alone")
    # What sanitizers see runs on the GPU of the tests, for which nvcc compiles nothing.
    if(NOT ACCRETE_SANITIZE)
      if(NOT DEFINED CMAKE_CUDA_COMPILER AND CUDAToolkit_NVCC_EXECUTABLE)
        set(CMAKE_CUDA_COMPILER "${CUDAToolkit_NVCC_EXECUTABLE}")
      endif()
      include(CheckLanguage)
      check_language(CUDA)
    endif()
  endif()
endif()

if(CUDAToolkit_FOUND AND CMAKE_CUDA_COMPILER)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
  endif()
  enable_language(CUDA)
  set(accrete_cuda_status "CUDA ${CUDAToolkit_VERSION}")

  # accrete_add_kernels(NAME source): a library of kernels that nvcc compiles.
  function(accrete_add_kernels name source)
    add_library(${name} STATIC "${source}")
    # By hand: CMake 3.25 does not know the standards of CUDA 13.
    target_compile_options(${name} PRIVATE -std=c++20 --expt-relaxed-constexpr
                                           -diag-suppress=20012,554)
    # The namespace tells whether OpenMP was asked for.
    get_target_property(options accrete INTERFACE_LINK_LIBRARIES)
    if("${options}" MATCHES "OpenMP")
      target_compile_options(${name} PRIVATE -Xcompiler=${OpenMP_CXX_FLAGS})
    endif()
  endfunction()

  accrete_add_kernels(accrete_cuda "${PROJECT_SOURCE_DIR}/src/cuda_launches.cu")
  add_library(accrete::cuda ALIAS accrete_cuda)
  target_link_libraries(accrete_cuda PUBLIC accrete_compiled CUDA::cudart CUDA::cublas
                                            CUDA::cublasLt CUDA::cusolver)
  set_target_properties(accrete_cuda PROPERTIES EXPORT_NAME cuda POSITION_INDEPENDENT_CODE ON)
endif()
