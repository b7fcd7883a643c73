# weft::libtorch: LibTorch as the torch tier uses it, from what find_package(Torch) found. Weft's own build and
# installations include this file alike.
add_library(weft::libtorch INTERFACE IMPORTED)
target_include_directories(weft::libtorch INTERFACE ${TORCH_INCLUDE_DIRS})
# Before them the standard library: PyTorch's own builds export an std::filesystem of another version, which would be
# taken for it by programs that link both.
target_link_libraries(weft::libtorch INTERFACE stdc++ ${TORCH_LIBRARIES})
# TORCH_CXX_FLAGS is a string of flags; all that Weft has to follow is the ABI of std::string.
if(TORCH_CXX_FLAGS MATCHES "-D_GLIBCXX_USE_CXX11_ABI=([01])")
  target_compile_definitions(weft::libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=${CMAKE_MATCH_1})
endif()
# Clang in C++20 cannot compile LibTorch 1.13's headers unless they begin with this one.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(weft::libtorch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:SHELL:-include ATen/core/ivalue.h>)
endif()
