# Compiler and linker flags, carried by the interface target weir_flags that every target links.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

# No NDEBUG: assertions stay on in release.
set(CMAKE_C_FLAGS_DEBUG "-g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")

find_package(Threads REQUIRED)
add_library(weir_flags INTERFACE)
target_include_directories(weir_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(weir_flags INTERFACE Threads::Threads m)
target_compile_definitions(weir_flags INTERFACE _GNU_SOURCE)
# Fused multiply-add would make results depend on the machine.
target_compile_options(weir_flags INTERFACE -ffp-contract=off -fno-common)
target_compile_options(weir_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wformat=2 -Wundef)
if(WEIR_WERROR)
    target_compile_options(weir_flags INTERFACE -Werror)
endif()

if(WEIR_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "WEIR_FUZZ needs clang: cmake --preset fuzz")
    endif()
    set(sanitizers -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
elseif(WEIR_SANITIZE STREQUAL "address")
    set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(WEIR_SANITIZE STREQUAL "thread")
    set(sanitizers -fsanitize=thread)
elseif(WEIR_SANITIZE)
    message(FATAL_ERROR "WEIR_SANITIZE is \"${WEIR_SANITIZE}\": use address, thread or nothing")
endif()

if(sanitizers)
    # Instrumented code makes gcc see uninitialised variables where there are none.
    target_compile_options(weir_flags INTERFACE ${sanitizers} -O1 -fno-omit-frame-pointer
                           -Wno-maybe-uninitialized)
    target_link_options(weir_flags INTERFACE ${sanitizers})
    if(CMAKE_C_COMPILER_ID MATCHES "Clang")
        target_compile_options(weir_flags INTERFACE -Wno-unknown-warning-option)
    endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_definitions(weir_flags INTERFACE _FORTIFY_SOURCE=2)
    target_compile_options(weir_flags INTERFACE -fstack-protector-strong)
    target_link_options(weir_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()
