# weft_add_rust_plugin(FOLDER): builds the plugin in FOLDER, a crate of type cdylib called weft_<library>, by cargo. Library
# and manifest come to lie together as weft_add_plugin puts them, and are installed alike; `cargo test` and the contract
# suite are tests. Cargo's own files stay in the build folder.
function(weft_add_rust_plugin folder)
  weft_read_manifest()
  find_program(CARGO cargo)
  if(NOT CARGO)
    message(FATAL_ERROR "cargo was not found; a plugin in Rust needs it, and rustc. Debian: apt install cargo")
  endif()
  get_filename_component(stem ${library} NAME_WE)
  set(crates ${CMAKE_CURRENT_BINARY_DIR}/cargo)
  set(where --manifest-path ${folder}/Cargo.toml --target-dir ${crates})
  set(plugin ${output}/${kind}/${name})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/src/*.rs)
  add_custom_command(OUTPUT ${plugin}/${library} ${plugin}/manifest.json VERBATIM
    COMMAND ${CARGO} build --quiet --release ${where}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${plugin}
    COMMAND ${CMAKE_COMMAND} -E copy ${crates}/release/libweft_${stem}.so ${plugin}/${library}
    COMMAND ${CMAKE_COMMAND} -DMANIFEST=${folder}/manifest.json -DLIBRARY=${plugin}/${library}
            -DOUTPUT=${plugin}/manifest.json -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/weft_state_sha256.cmake
    DEPENDS ${sources} ${folder}/Cargo.toml ${folder}/manifest.json)
  add_custom_target(${target} ALL DEPENDS ${plugin}/${library})
  install(FILES ${plugin}/${library} ${plugin}/manifest.json DESTINATION lib/weft/plugins/${kind}/${name} COMPONENT runtime)
  if(NOT DEFINED BUILD_TESTING OR BUILD_TESTING)
    add_test(NAME "${name}: cargo test" COMMAND ${CARGO} test --quiet ${where})
    weft_add_contract_test()
  endif()
endfunction()
