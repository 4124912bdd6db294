# SPDX-License-Identifier: Apache-2.0
# session's answers to speckvctl: part of speckvd_core, beside what daemon/CMakeLists.txt names.
target_sources(speckvd_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/closer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/control_requests.cpp
  ${CMAKE_CURRENT_LIST_DIR}/door_list.cpp
  ${CMAKE_CURRENT_LIST_DIR}/undertaker.cpp)
