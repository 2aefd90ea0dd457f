# What every target of the product is compiled with. Warnings as errors come from the presets, not from here.
add_compile_options(-fPIE -Wall -Wextra -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees overflows in std::string's operator+ that are not there (GCC bug 105651).
  add_compile_options(-Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds
                      -Wno-maybe-uninitialized -Wno-mismatched-new-delete)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # ccache can only share a precompiled header that carries no time stamp.
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()
add_link_options(-pie)
add_compile_definitions(
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE)

# Kept out of the sandbox's init, which is never instrumented.
add_library(agentrouter_sanitizers INTERFACE)
if(AGENTROUTER_SANITIZE)
  target_compile_options(agentrouter_sanitizers INTERFACE
    -fsanitize=${AGENTROUTER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(agentrouter_sanitizers INTERFACE -fsanitize=${AGENTROUTER_SANITIZE})
endif()
if(AGENTROUTER_FUZZ)
  # With counts of the lines reached, for tools/fuzz.
  target_compile_options(agentrouter_sanitizers INTERFACE -fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(agentrouter_sanitizers INTERFACE -fprofile-instr-generate)
endif()
