# weft_add_plugin(FOLDER [LIBRARIES lib..] [PRIVATE_LIBRARIES lib..] [DATA file..] [OPTIMISED]): builds the plugin in
# FOLDER from its manifest.
#
#   LIBRARIES          linked, and expected where it is used
#   PRIVATE_LIBRARIES  linked, and shipped beside the plugin, where it finds them ($ORIGIN): shared libraries of this
#                      project, or files called as the loader asks for them (libacme.so.1). One process holds one
#                      library of a name: give yours a name that is nobody else's
#   DATA               files and folders, relative to FOLDER, shipped beside the plugin under the same relative name;
#                      Context::folder() says where they are
#   OPTIMISED          for arithmetic in templates, such as Eigen's: -O1 in debug builds as well
#
# Sources are the folder's *.cpp and *.c except tests (*_test.cpp, *_test.c). The library and its manifest come to lie
# together under ${WEFT_PLUGIN_OUTPUT}/<kind>/<name>/, by default plugins/ in the build folder; the manifest there states the
# library's SHA-256. The library exports the descriptor alone and leaves no symbol undefined. It is installed byte for byte.
#
# Parameters that refer to "recipe.json", what a training recipe has, get the SDK's copy of it beside the manifest.
#
# A library with several components has a manifest for each: manifest.json, by which folder and target are called, and
# beside it <any>.manifest.json. All state the same library, tier and ABI.
#
# weft_add_plugin_test(FOLDER): builds the folder's *_test.cpp into one program and registers its tests; nothing where
# there are none, where Catch2 is absent, or with BUILD_TESTING off (as for libc++ with Catch2 3, which is compiled for
# libstdc++). A *_test.c is a program that returns 0, and with it comes the contract suite, by `weft plugin validate`, where
# weft is installed. After weft_add_plugin.

# What both functions read from a manifest.
macro(weft_read_manifest)
  get_filename_component(folder ${folder} ABSOLUTE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/manifest.json)
  file(READ ${folder}/manifest.json manifest)
  foreach(member name kind tier library abi)
    string(JSON ${member} GET "${manifest}" ${member})
  endforeach()
  string(REPLACE "/" "." target plugin_${kind}_${name})  # of a name with its vendor
  if(DEFINED WEFT_PLUGIN_OUTPUT)
    set(output ${WEFT_PLUGIN_OUTPUT})
  else()
    set(output ${CMAKE_CURRENT_BINARY_DIR}/plugins)
  endif()
endmacro()

# Further manifests describe the same library.
function(weft_check_further_manifest file library tier abi)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} further)
  foreach(member library tier abi)
    string(JSON given GET "${further}" ${member})
    if(NOT given STREQUAL ${member})
      message(FATAL_ERROR "${file}: /${member} is \"${given}\"; must be \"${${member}}\", as in manifest.json beside it: they describe one library")
    endif()
  endforeach()
endfunction()

# Puts a shared library beside the plugin `target` in `output`, under the name that the loader asks for, and installs it.
function(weft_ship_library target output destination library)
  if(TARGET ${library})
    get_target_property(type ${library} TYPE)
    if(NOT type MATCHES "SHARED_LIBRARY|UNKNOWN_LIBRARY")
      message(FATAL_ERROR "weft_add_plugin: PRIVATE_LIBRARIES has ${library}, a ${type}; must be shared libraries: others go to LIBRARIES")
    endif()
    set(file $<TARGET_FILE:${library}>)
    if(type STREQUAL "SHARED_LIBRARY")
      set(shipped $<TARGET_SONAME_FILE_NAME:${library}>)
    else()
      set(shipped $<TARGET_FILE_NAME:${library}>)
    endif()
    get_target_property(imported ${library} IMPORTED)
    if(NOT imported)  # it finds those beside it, too, and no longer its build folder
      set_target_properties(${library} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH $ORIGIN)
    endif()
  else()
    get_filename_component(file ${library} ABSOLUTE)
    get_filename_component(shipped ${library} NAME)
    if(NOT EXISTS ${file})
      message(FATAL_ERROR "weft_add_plugin: PRIVATE_LIBRARIES has ${library}; no such target or file")
    endif()
  endif()
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM COMMAND ${CMAKE_COMMAND} -E copy ${file} ${output}/${shipped})
  install(PROGRAMS ${file} DESTINATION ${destination} RENAME ${shipped} COMPONENT runtime)
endfunction()

# The same for a data file or folder, given relative to `folder`.
function(weft_ship_data target output destination folder data)
  get_filename_component(within ${data} DIRECTORY)
  if(IS_ABSOLUTE ${data} OR data MATCHES "(^|/)\\.\\.(/|$)" OR NOT EXISTS ${folder}/${data})
    message(FATAL_ERROR "weft_add_plugin: DATA has ${data}; must be a file or folder in ${folder}, relative to it")
  endif()
  if(IS_DIRECTORY ${folder}/${data})
    file(GLOB_RECURSE files CONFIGURE_DEPENDS ${folder}/${data}/*)
    set(copy copy_directory)
    install(DIRECTORY ${folder}/${data} DESTINATION ${destination}/${within} COMPONENT runtime)
  else()
    set(files ${folder}/${data})
    set(copy copy)
    install(FILES ${folder}/${data} DESTINATION ${destination}/${within} COMPONENT runtime)
  endif()
  string(MAKE_C_IDENTIFIER ${data} stamp)
  string(SHA1 list "${files}")  # a file that was removed makes nothing newer
  set(stamp ${CMAKE_CURRENT_BINARY_DIR}/${target}.${stamp}.${list}.copied)
  add_custom_command(OUTPUT ${stamp} DEPENDS ${files} VERBATIM
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${output}/${data}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${output}/${within}
    COMMAND ${CMAKE_COMMAND} -E ${copy} ${folder}/${data} ${output}/${data}
    COMMAND ${CMAKE_COMMAND} -E touch ${stamp})
  target_sources(${target} PRIVATE ${stamp})
endfunction()

function(weft_add_plugin folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "OPTIMISED" "" "LIBRARIES;PRIVATE_LIBRARIES;DATA")
  weft_read_manifest()
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp ${folder}/*.c)
  list(FILTER sources EXCLUDE REGEX "_test\\.(cpp|c)$")
  set(output ${output}/${kind}/${name})
  set(destination lib/weft/plugins/${kind}/${name})  # the host looks for `lib` from its own place
  file(GLOB further CONFIGURE_DEPENDS ${folder}/*.manifest.json)

  add_library(${target} MODULE ${sources})
  target_link_libraries(${target} PRIVATE weft::sdk ${arg_LIBRARIES})
  foreach(private IN LISTS arg_PRIVATE_LIBRARIES)
    if(NOT TARGET ${private})
      get_filename_component(private ${private} ABSOLUTE)
    endif()
    target_link_libraries(${target} PRIVATE ${private})
  endforeach()
  if(tier STREQUAL "torch")
    if(NOT TARGET weft::torch)
      find_package(weft CONFIG REQUIRED COMPONENTS torch)
    endif()
    target_link_libraries(${target} PRIVATE weft::torch)
    set(pch weft_torch_pch_${abi})
    # <root>/lib, where libweft_torch lies, from <root>/lib/weft/plugins/<kind>/<name>
    string(REGEX REPLACE "[^/]+" ".." up lib/weft/plugins/${kind}/${name})
    string(REGEX REPLACE "/..$" "" up ${up})
    set(own_libraries $ORIGIN/${up})
  else()
    set(pch weft_stable_pch_${abi})
    set(own_libraries)
  endif()
  if(arg_PRIVATE_LIBRARIES)
    list(PREPEND own_libraries $ORIGIN)
  endif()
  if(arg_OPTIMISED AND CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(${target} PRIVATE -O1)
  elseif(TARGET ${pch})  # of the same optimisation and definitions
    target_precompile_headers(${target} REUSE_FROM ${pch})
  endif()
  if(abi VERSION_GREATER 1.0)
    target_compile_definitions(${target} PRIVATE WEFT_PLUGIN_ABI="${abi}")
  endif()
  get_filename_component(stem ${library} NAME_WLE)
  # The library is linked as it will be installed: its hash must stay what the manifest says.
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${stem} SUFFIX ".so"
                        LIBRARY_OUTPUT_DIRECTORY ${output}
                        C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                        C_STANDARD 11 C_EXTENSIONS OFF CXX_EXTENSIONS OFF
                        BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "${own_libraries}" INSTALL_RPATH_USE_LINK_PATH ON)
  set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
  target_link_options(${target} PRIVATE -Wl,--version-script=${map} $<$<CONFIG:Release>:-s>)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" configuration)
  if(NOT WEFT_SANITIZE AND NOT "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${configuration}}" MATCHES "-fsanitize")
    target_link_options(${target} PRIVATE -Wl,-z,defs)  # the sanitizers' own symbols come with the program
  endif()
  set(manifests ${folder}/manifest.json ${further})
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${manifests} ${map})
  foreach(source IN LISTS manifests)
    if(NOT source STREQUAL ${folder}/manifest.json)
      weft_check_further_manifest(${source} ${library} ${tier} ${abi})
    endif()
    get_filename_component(file ${source} NAME)
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM
      COMMAND ${CMAKE_COMMAND} -DMANIFEST=${source} -DLIBRARY=$<TARGET_FILE:${target}> -DOUTPUT=${output}/${file}
              -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/weft_state_sha256.cmake
      BYPRODUCTS ${output}/${file})
    install(FILES ${output}/${file} DESTINATION ${destination} COMPONENT runtime)
  endforeach()
  set(refers FALSE)
  foreach(source IN LISTS manifests)
    file(READ ${source} text)
    string(JSON reference ERROR_VARIABLE ignored GET "${text}" parameters "$ref")
    if(reference STREQUAL "recipe.json")
      set(refers TRUE)
    endif()
  endforeach()
  if(refers)  # to that of the SDK which the plugin is built with
    set(recipe ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/recipe.json)
    if(NOT EXISTS ${recipe})
      set(recipe ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../../manifests/schemas/recipe.json)
    endif()
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${recipe})
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM
      COMMAND ${CMAKE_COMMAND} -E copy ${recipe} ${output}/recipe.json)
    install(FILES ${recipe} DESTINATION ${destination} COMPONENT runtime)
  endif()
  install(FILES $<TARGET_FILE:${target}> DESTINATION ${destination} COMPONENT runtime)  # install(TARGETS) may strip it
  foreach(shipped IN LISTS arg_PRIVATE_LIBRARIES)
    weft_ship_library(${target} ${output} ${destination} ${shipped})
  endforeach()
  foreach(shipped IN LISTS arg_DATA)
    weft_ship_data(${target} ${output} ${destination} ${folder} ${shipped})
  endforeach()
  install(CODE "execute_process(COMMAND chmod -R go-w \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${destination}\" COMMAND_ERROR_IS_FATAL ANY)"
          COMPONENT runtime)
endfunction()

# The contract suite as a test, by the installed program.
macro(weft_add_contract_test)
  get_filename_component(prefix ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../../.. ABSOLUTE)
  find_program(WEFT_PROGRAM weft HINTS ${prefix}/bin)
  if(WEFT_PROGRAM)
    add_test(NAME "${name}: keeps the contract" COMMAND ${WEFT_PROGRAM} plugin validate ${output}/${kind}/${name})
    set_tests_properties("${name}: keeps the contract" PROPERTIES TIMEOUT 600)
  endif()
endmacro()

macro(weft_add_test_in_c)
  file(GLOB tests CONFIGURE_DEPENDS ${folder}/*_test.c)
  if(tests AND (NOT DEFINED BUILD_TESTING OR BUILD_TESTING))
    add_executable(${target}_test ${tests})
    target_link_libraries(${target}_test PRIVATE weft::sdk)
    set_target_properties(${target}_test PROPERTIES C_STANDARD 11 C_EXTENSIONS OFF)
    add_test(NAME "${name}: test" COMMAND ${target}_test)
    weft_add_contract_test()
  endif()
endmacro()

function(weft_add_plugin_test folder)
  weft_read_manifest()
  weft_add_test_in_c()
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
