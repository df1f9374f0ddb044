# The shared library libsema: the same sources once more, as code for a shared library needs other options, and
# semactl is not to load one. Only what the public headers mark is visible.
get_target_property(client_sources sema_client SOURCES)
get_target_property(common_sources sema_common SOURCES)
list(TRANSFORM common_sources PREPEND ${PROJECT_SOURCE_DIR}/common/)
add_library(sema SHARED ${client_sources} ${common_sources})
add_library(sema::sema ALIAS sema)
set(libsema_version 1)
set_target_properties(sema PROPERTIES VERSION ${libsema_version}.0.0 SOVERSION ${libsema_version}
  CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/libsema.map)
target_compile_features(sema PUBLIC cxx_std_20)
target_include_directories(sema
  PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
  PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_link_libraries(sema PRIVATE
  $<BUILD_INTERFACE:sema_options> $<BUILD_INTERFACE:tl::expected> $<BUILD_INTERFACE:Boost::headers>
  $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> $<BUILD_INTERFACE:CURL::libcurl>
  $<BUILD_INTERFACE:Threads::Threads>)
# The standard library's templates that were compiled into it are not its interface.
target_link_options(sema PRIVATE -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/libsema.map)
if(NOT SEMA_SANITIZE)
  # The sanitizers' own functions come with the program.
  target_link_options(sema PRIVATE -Wl,--no-undefined)
endif()
target_precompile_headers(sema PRIVATE
  <algorithm> <array> <chrono> <cstdint> <functional> <map> <memory> <mutex> <optional> <string> <string_view>
  <system_error> <unordered_map> <utility> <variant> <vector> <tl/expected.hpp>)
# <sema/asio.hpp> on top of it. Whoever uses it brings Boost.Asio or standalone Asio.
add_library(sema_asio INTERFACE)
add_library(sema::asio ALIAS sema_asio)
set_target_properties(sema_asio PROPERTIES EXPORT_NAME asio)
target_link_libraries(sema_asio INTERFACE sema)

include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/sema)
write_basic_package_version_file(semaConfigVersion.cmake VERSION ${libsema_version}.0.0
  COMPATIBILITY SameMajorVersion)
configure_package_config_file(semaConfig.cmake.in semaConfig.cmake INSTALL_DESTINATION ${package_folder})
# Wherever it is installed to, or moved.
file(RELATIVE_PATH prefix_from_pc ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(sema.pc.in sema.pc @ONLY)
# Who has built the programs alone installs those.
install(CODE "if(NOT EXISTS \"$<TARGET_FILE:sema>\")
  message(STATUS \"libsema was not built, and is not installed (cmake --build FOLDER --target sema)\")
  return()
endif()" ALL_COMPONENTS)
install(TARGETS sema sema_asio EXPORT semaTargets
  LIBRARY COMPONENT library NAMELINK_COMPONENT development)
install(DIRECTORY include/sema DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT semaTargets NAMESPACE sema:: DESTINATION ${package_folder} COMPONENT development)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/semaConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/semaConfigVersion.cmake
  DESTINATION ${package_folder} COMPONENT development)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sema.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT development)
install(FILES ${PROJECT_SOURCE_DIR}/man/libsema.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development)
