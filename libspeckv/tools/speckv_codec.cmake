# SPDX-License-Identifier: Apache-2.0
add_executable(speckv-codec speckv_codec.cpp)
target_link_libraries(speckv-codec PRIVATE speckv_codec)
install(TARGETS speckv-codec RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
