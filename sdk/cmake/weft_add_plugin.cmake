# weft_add_plugin(FOLDER [LIBRARIES lib..] [OPTIMISED]): builds the plugin in FOLDER from its manifest. OPTIMISED is for
# arithmetic in templates, such as Eigen's: it is compiled with -O1 in debug builds as well.
#
# Sources are the folder's *.cpp except tests (*_test.cpp). The library and its manifest come to lie together under
# ${WEFT_PLUGIN_OUTPUT}/<kind>/<name>/, by default plugins/ in the build folder; the manifest there states the library's
# SHA-256. The library exports the descriptor alone and leaves no symbol undefined. It is installed byte for byte.
#
# weft_add_plugin_test(FOLDER): builds the folder's *_test.cpp into one program and registers its tests; nothing where
# there are none, where Catch2 is absent, or with BUILD_TESTING off (as for libc++ with Catch2 3, which is compiled for
# libstdc++). After weft_add_plugin.

# What both functions read from a manifest.
macro(weft_read_manifest)
  get_filename_component(folder ${folder} ABSOLUTE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/manifest.json)
  file(READ ${folder}/manifest.json manifest)
  foreach(member name kind tier library)
    string(JSON ${member} GET "${manifest}" ${member})
  endforeach()
  set(target plugin_${kind}_${name})
  if(DEFINED WEFT_PLUGIN_OUTPUT)
    set(output ${WEFT_PLUGIN_OUTPUT})
  else()
    set(output ${CMAKE_CURRENT_BINARY_DIR}/plugins)
  endif()
endmacro()

function(weft_add_plugin folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "OPTIMISED" "" "LIBRARIES")
  weft_read_manifest()
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")

  add_library(${target} MODULE ${sources})
  target_link_libraries(${target} PRIVATE weft::sdk ${arg_LIBRARIES})
  if(tier STREQUAL "torch")
    if(NOT TARGET weft::torch)
      find_package(weft CONFIG REQUIRED COMPONENTS torch)
    endif()
    target_link_libraries(${target} PRIVATE weft::torch)
    set(pch weft_torch_pch)
    set(own_libraries $ORIGIN/../../../..)  # <root>/lib, where libweft_torch lies, from <root>/lib/weft/plugins/<kind>/<name>
  else()
    set(pch weft_stable_pch)
    set(own_libraries)
  endif()
  if(arg_OPTIMISED AND CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(${target} PRIVATE -O1)
  elseif(TARGET ${pch})  # of the same optimisation
    target_precompile_headers(${target} REUSE_FROM ${pch})
  endif()
  get_filename_component(stem ${library} NAME_WE)
  # The library is linked as it will be installed: its hash must stay what the manifest says.
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${stem} SUFFIX ".so"
                        LIBRARY_OUTPUT_DIRECTORY ${output}/${kind}/${name}
                        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON CXX_EXTENSIONS OFF
                        BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "${own_libraries}" INSTALL_RPATH_USE_LINK_PATH ON)
  set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
  target_link_options(${target} PRIVATE -Wl,--version-script=${map} $<$<CONFIG:Release>:-s>)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" configuration)
  if(NOT WEFT_SANITIZE AND NOT "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${configuration}}" MATCHES "-fsanitize")
    target_link_options(${target} PRIVATE -Wl,-z,defs)  # the sanitizers' own symbols come with the program
  endif()
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${folder}/manifest.json ${map})
  set(built ${output}/${kind}/${name}/manifest.json)
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
    COMMAND ${CMAKE_COMMAND} -DMANIFEST=${folder}/manifest.json -DLIBRARY=$<TARGET_FILE:${target}> -DOUTPUT=${built}
            -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/weft_state_sha256.cmake
    BYPRODUCTS ${built})
  # Not install(TARGETS), which may strip or rewrite. The host looks for `lib` from its own place.
  set(folder lib/weft/plugins/${kind}/${name})
  install(FILES $<TARGET_FILE:${target}> ${built} DESTINATION ${folder} COMPONENT runtime)
  install(CODE "execute_process(COMMAND chmod go-w \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}\" COMMAND_ERROR_IS_FATAL ANY)"
          COMPONENT runtime)
endfunction()

function(weft_add_plugin_test folder)
  weft_read_manifest()
  file(GLOB tests CONFIGURE_DEPENDS ${folder}/*_test.cpp)
  if(NOT tests OR NOT TARGET Catch2::Catch2 OR (DEFINED BUILD_TESTING AND NOT BUILD_TESTING))
    return()
  endif()
  find_package(Threads REQUIRED)
  add_executable(${target}_test ${tests} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/catch_main.cpp)
  target_link_libraries(${target}_test PRIVATE weft::testing Threads::Threads ${CMAKE_DL_LIBS})
  if(tier STREQUAL "torch")
    find_package(weft CONFIG REQUIRED COMPONENTS torch)
    target_link_libraries(${target}_test PRIVATE weft::torch)
  endif()
  set_target_properties(${target}_test PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target}_test PRIVATE $<$<CONFIG:Release>:-O1>)  # compiled more often than run
  target_compile_definitions(${target}_test PRIVATE WEFT_TEST_PLUGINS="${output}")
  add_dependencies(${target}_test ${target})
  include(Catch)
  catch_discover_tests(${target}_test TEST_PREFIX "${name}: " PROPERTIES TIMEOUT 300)
endfunction()
