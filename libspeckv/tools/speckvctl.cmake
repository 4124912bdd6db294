# SPDX-License-Identifier: Apache-2.0
# speckvctl: the operator's tool. A client like any other; the library's own code reads packets.
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CXL REQUIRED IMPORTED_TARGET libcxl libdaxctl)
add_executable(speckvctl
  ${CMAKE_CURRENT_LIST_DIR}/speckvctl.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_ask.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_bench.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_doctor.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_format.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_region.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_show.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_size.cpp
  ${CMAKE_CURRENT_LIST_DIR}/ctl_top.cpp
  ${CMAKE_CURRENT_LIST_DIR}/doctor_judge.cpp
  ${CMAKE_CURRENT_LIST_DIR}/doctor_machine.cpp
  ${CMAKE_CURRENT_LIST_DIR}/region_cxl.cpp
  ${CMAKE_CURRENT_LIST_DIR}/region_dax.cpp
  ${CMAKE_CURRENT_LIST_DIR}/region_parse.cpp
  ${CMAKE_CURRENT_LIST_DIR}/region_poison.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../src/peer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../src/wire_io.cpp)
target_compile_definitions(speckvctl PRIVATE SPECKV_VERSION="${PROJECT_VERSION}")
target_link_libraries(speckvctl PRIVATE
  speckv_rooms speckv_shm speckv_codec speckv nlohmann_json::nlohmann_json PkgConfig::CXL)
install(TARGETS speckvctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
