# SPDX-License-Identifier: Apache-2.0
# speckv-calibrate links libllama: built only where there is an engine (SPECKV_LLAMA_ROOT). The
# adapter's folder comes after this one, so its target is named late.
if(SPECKV_LLAMA_ROOT AND EXISTS ${SPECKV_LLAMA_ROOT}/stamp)
  add_executable(speckv-calibrate ${CMAKE_CURRENT_LIST_DIR}/speckv_calibrate.cpp)
  target_link_libraries(speckv-calibrate PRIVATE speckv_llama speckv speckv_codec)
endif()
