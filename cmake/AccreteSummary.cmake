# SPDX-License-Identifier: MIT
# One glance at what was found.
macro(accrete_report name condition)
  if(${condition})
    message(STATUS "  ${name}: yes")
  else()
    message(STATUS "  ${name}: no")
  endif()
endmacro()

message(STATUS "accrete ${PROJECT_VERSION}")
message(STATUS "  Eigen: ${accrete_eigen_version}")
accrete_report("OpenMP" accrete_openmp)
message(STATUS "  oneDNN (accrete::onednn): ${accrete_onednn_status}")
message(STATUS "  CUDA (accrete::cuda): ${accrete_cuda_status}")
message(STATUS "  CBLAS (accrete::blas): ${accrete_blas_status}")
accrete_report("tests" ACCRETE_BUILD_TESTS)
accrete_report("examples" ACCRETE_BUILD_EXAMPLES)
accrete_report("benchmarks" ACCRETE_BUILD_BENCHMARKS)
