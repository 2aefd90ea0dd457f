# cmake --install build/release --prefix DIR --component sdk
#
# DIR gets the headers, libagentrouter.so, the package files of find_package(agentrouter) and of pkg-config.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(agentrouter_shared SHARED $<TARGET_OBJECTS:agentrouter_sdk_objects>)
target_compile_features(agentrouter_shared PUBLIC cxx_std_20)
target_include_directories(agentrouter_shared INTERFACE
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(agentrouter_shared
  PRIVATE $<BUILD_INTERFACE:agentrouter_sanitizers> CURL::libcurl Boost::json Threads::Threads)
# The project's own link options make executables (-pie).
set_target_properties(agentrouter_shared PROPERTIES
  OUTPUT_NAME agentrouter EXPORT_NAME agentrouter VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
  LINK_OPTIONS "LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/src/exports.map"
  LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/exports.map)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/agentrouter)
configure_package_config_file(package/agentrouter-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/agentrouter-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/agentrouter-config-version.cmake
  COMPATIBILITY SameMinorVersion)
# Relative to the .pc file itself, so that the tree may be moved.
file(RELATIVE_PATH AGENTROUTER_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(package/agentrouter.pc.in ${CMAKE_CURRENT_BINARY_DIR}/agentrouter.pc @ONLY)

install(TARGETS agentrouter_shared EXPORT agentrouter LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT sdk
  NAMELINK_COMPONENT sdk)
install(DIRECTORY include/agentrouter DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT sdk)
install(EXPORT agentrouter NAMESPACE agentrouter:: FILE agentrouter-targets.cmake DESTINATION ${package_dir}
  COMPONENT sdk)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/agentrouter-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/agentrouter-config-version.cmake DESTINATION ${package_dir} COMPONENT sdk)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/agentrouter.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT sdk)
