# The Debian packages: `weft` is what runs a study, `weft-dev` what an author of plugins builds with. ./dev package
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Weft authors")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_OUTPUT_FILE_PREFIX ${CMAKE_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)  # not the plugins, whose hashes are in their manifests: they are installed as plain files
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME weft)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "Searches network architectures as a pipeline describes, trains the best and
shows what was found. Spaces, optimizers, evaluators and data sets are plugins.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})  # of libweft_torch, which plugins need
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "graphviz, libopenblas0")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "weft-dev, dataset-fashion-mnist")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME weft-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Headers, CMake package and contract suites for plugins of one's own. Those of the
torch tier need libtorch-dev besides, and tests need catch2.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "weft (= ${PROJECT_VERSION}), nlohmann-json3-dev (>= 3.11), g++ (>= 4:12) | clang (>= 1:14), cmake (>= 3.25), ninja-build")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "libtorch-dev, libeigen3-dev, catch2, cargo")

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/weft RENAME copyright COMPONENT runtime)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/weft-dev RENAME copyright COMPONENT development)
include(CPack)
