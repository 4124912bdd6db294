# SPDX-License-Identifier: Apache-2.0
# pool's media: part of speckvd_core. Needs libnuma.
target_sources(speckvd_core PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/bus_guard.cpp
  ${CMAKE_CURRENT_LIST_DIR}/extent_device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/extent_pieces.cpp
  ${CMAKE_CURRENT_LIST_DIR}/mapped_region.cpp
  ${CMAKE_CURRENT_LIST_DIR}/medium.cpp
  ${CMAKE_CURRENT_LIST_DIR}/medium_devdax.cpp
  ${CMAKE_CURRENT_LIST_DIR}/medium_extent.cpp
  ${CMAKE_CURRENT_LIST_DIR}/medium_memfd.cpp
  ${CMAKE_CURRENT_LIST_DIR}/medium_shm.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_clean.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_format.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_marks.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_parcels.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_scan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_store.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_sync.cpp
  ${CMAKE_CURRENT_LIST_DIR}/spill_transfers.cpp)
