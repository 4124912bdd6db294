# SPDX-License-Identifier: Apache-2.0
# config: part of speckvd_core. Needs predict/ and codec/ for the names of policies and presets.
target_sources(speckvd_core PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/config.cpp
  ${CMAKE_CURRENT_LIST_DIR}/config_parse.cpp
  ${CMAKE_CURRENT_LIST_DIR}/known_names.cpp
  ${CMAKE_CURRENT_LIST_DIR}/toml_reader.cpp
  ${CMAKE_CURRENT_LIST_DIR}/values.cpp)
