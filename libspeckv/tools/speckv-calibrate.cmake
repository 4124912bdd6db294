# SPDX-License-Identifier: Apache-2.0
# speckv-calibrate links libllama: built and installed only where there is an engine
# (SPECKV_LLAMA_ROOT: `make calibrate` builds both, `make install` takes what is there). The
# engine's libraries are installed beside ours, in a folder of their own. The adapter's folder comes
# after this one, so its target is named late.
if(SPECKV_LLAMA_ROOT AND EXISTS ${SPECKV_LLAMA_ROOT}/stamp)
  add_executable(speckv-calibrate
    ${CMAKE_CURRENT_LIST_DIR}/speckv_calibrate.cpp
    ${CMAKE_CURRENT_LIST_DIR}/calibrate_arguments.cpp)
  target_link_libraries(speckv-calibrate PRIVATE speckv_llama speckv speckv_codec)
  set_target_properties(speckv-calibrate PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/speckv")
  install(TARGETS speckv-calibrate RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY ${SPECKV_LLAMA_ROOT}/lib/ DESTINATION ${CMAKE_INSTALL_LIBDIR}/speckv
          FILES_MATCHING PATTERN "libllama.so*" PATTERN "libggml*.so*")
endif()
