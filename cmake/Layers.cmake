# SPDX-License-Identifier: Apache-2.0
# A layer sees its own headers and those of the layers it uses, nothing else: an upward include
# does not compile.
function(layer name)
  cmake_parse_arguments(L "" "" "USES;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/include/${name})
  target_link_libraries(${name} PUBLIC ${L_USES} PRIVATE ${L_LIBS} warnings)
endfunction()
