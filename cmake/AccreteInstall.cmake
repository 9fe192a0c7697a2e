# SPDX-License-Identifier: MIT
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# Headers only, so everything goes where architecture-independent files go.
set(accrete_config_dir "${CMAKE_INSTALL_DATADIR}/cmake/accrete")

install(
  TARGETS accrete
  EXPORT accreteTargets
  FILE_SET HEADERS)
install(
  EXPORT accreteTargets
  NAMESPACE accrete::
  DESTINATION "${accrete_config_dir}")

if(ACCRETE_BUILD_COMPILED)
  install(
    TARGETS accrete_compiled
    EXPORT accreteCompiledTargets
    ARCHIVE)
  install(
    EXPORT accreteCompiledTargets
    NAMESPACE accrete::
    DESTINATION "${accrete_config_dir}")
  if(TARGET accrete_cuda)
    install(
      TARGETS accrete_cuda
      EXPORT accreteCudaTargets
      ARCHIVE)
    install(
      EXPORT accreteCudaTargets
      NAMESPACE accrete::
      DESTINATION "${accrete_config_dir}")
  endif()
endif()

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/accreteConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/accreteConfig.cmake" INSTALL_DESTINATION "${accrete_config_dir}")
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/accreteConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/accreteConfig.cmake"
              "${PROJECT_BINARY_DIR}/accreteConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/AccreteProviders.cmake"
        DESTINATION "${accrete_config_dir}")

# It finds the headers from its own place, two folders below the prefix.
configure_file("${CMAKE_CURRENT_LIST_DIR}/accrete.pc.in" "${PROJECT_BINARY_DIR}/accrete.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/accrete.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
