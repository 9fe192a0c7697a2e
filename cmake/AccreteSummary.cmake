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
accrete_report("OpenMP" OpenMP_CXX_FOUND)
accrete_report("oneDNN (accrete::onednn)" "TARGET;accrete::onednn")
accrete_report("CBLAS (accrete::blas)" "TARGET;accrete::blas")
accrete_report("tests" ACCRETE_BUILD_TESTS)
accrete_report("examples" ACCRETE_BUILD_EXAMPLES)
accrete_report("benchmarks" ACCRETE_BUILD_BENCHMARKS)
