# weft_add_plugin(FOLDER [LIBRARIES lib..]): builds the plugin in FOLDER from its manifest.
#
# Sources are the folder's *.cpp except tests (*_test.cpp). The library and its manifest come to lie together under
# ${WEFT_PLUGIN_OUTPUT}/<kind>/<name>/. It exports the descriptor alone and leaves no symbol undefined.
set(WEFT_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})

function(weft_add_plugin folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBRARIES")
  get_filename_component(folder ${folder} ABSOLUTE)
  file(READ ${folder}/manifest.json manifest)
  foreach(member name kind tier library)
    string(JSON ${member} GET "${manifest}" ${member})
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")

  set(target plugin_${kind}_${name})
  add_library(${target} MODULE ${sources})
  target_link_libraries(${target} PRIVATE weft::sdk ${arg_LIBRARIES})
  if(tier STREQUAL "torch")
    target_link_libraries(${target} PRIVATE weft::torch)
    set(pch weft_torch_pch)
  else()
    set(pch weft_stable_pch)
  endif()
  if(TARGET ${pch})
    target_precompile_headers(${target} REUSE_FROM ${pch})
  endif()
  get_filename_component(stem ${library} NAME_WE)
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${stem} SUFFIX ".so"
                        LIBRARY_OUTPUT_DIRECTORY ${WEFT_PLUGIN_OUTPUT}/${kind}/${name}
                        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                        INSTALL_RPATH "$ORIGIN/../../../..")
  target_link_options(${target} PRIVATE -Wl,--version-script=${WEFT_CMAKE_DIR}/plugin.map -Wl,--gc-sections)
  if(NOT WEFT_SANITIZE)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
  configure_file(${folder}/manifest.json ${WEFT_PLUGIN_OUTPUT}/${kind}/${name}/manifest.json COPYONLY)
  install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft/plugins/${kind}/${name})
  install(FILES ${folder}/manifest.json DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft/plugins/${kind}/${name})
endfunction()
