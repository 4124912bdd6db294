# SPDX-License-Identifier: Apache-2.0
# watch: part of speckvd_core. Needs Boost's headers (Asio, Beast) and nlohmann-json.
find_package(nlohmann_json REQUIRED)
target_link_libraries(speckvd_core PUBLIC nlohmann_json::nlohmann_json)
target_sources(speckvd_core PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/../loop/live_view.cpp
  ${CMAKE_CURRENT_LIST_DIR}/blocks.cpp
  ${CMAKE_CURRENT_LIST_DIR}/facts_json.cpp
  ${CMAKE_CURRENT_LIST_DIR}/http.cpp
  ${CMAKE_CURRENT_LIST_DIR}/metrics.cpp
  ${CMAKE_CURRENT_LIST_DIR}/watch.cpp)
