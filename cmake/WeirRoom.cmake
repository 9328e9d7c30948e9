# weir_room(<name> DEPS <rooms...> PKG <pkg-config modules...>): a room of the house.
#
# Makes the static library weir_<name> of src/<name>/**/*.c. A room without a .c makes no target,
# and a dependency without a target is left out, so that a half-built house still configures.
# Rooms are declared from the lowest layer up.

find_package(PkgConfig REQUIRED)
set(WEIR_ROOMS "" CACHE INTERNAL "rooms that have a target, lowest layer first")

# Debian's snappy carries no .pc file; every other dependency is a pkg-config module.
function(weir_find_module module out)
    string(MAKE_C_IDENTIFIER "PC_${module}" id)
    if(module STREQUAL "snappy")
        find_library(WEIR_SNAPPY_LIBRARY snappy)
        find_path(WEIR_SNAPPY_INCLUDE snappy-c.h)
        if(NOT WEIR_SNAPPY_LIBRARY OR NOT WEIR_SNAPPY_INCLUDE)
            message(FATAL_ERROR "snappy is missing: run scripts/deps build")
        endif()
        set(${out} ${WEIR_SNAPPY_LIBRARY} PARENT_SCOPE)
        return()
    endif()
    if(NOT TARGET PkgConfig::${id})
        pkg_check_modules(${id} QUIET IMPORTED_TARGET GLOBAL ${module})
        if(NOT ${id}_FOUND)
            message(FATAL_ERROR "pkg-config finds no ${module}: run scripts/deps build")
        endif()
    endif()
    set(${out} PkgConfig::${id} PARENT_SCOPE)
endfunction()

function(weir_link_room target)
    foreach(room IN LISTS ARGN)
        if(TARGET weir_${room})
            target_link_libraries(${target} PUBLIC weir_${room})
        endif()
    endforeach()
endfunction()

function(weir_room name)
    cmake_parse_arguments(ROOM "" "" "DEPS;PKG" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
    # main() stays out of the library, so that unit tests can link the rest of cli/.
    list(FILTER sources EXCLUDE REGEX "/src/${name}/main\\.c$")
    if(NOT sources)
        message(STATUS "weir_${name}: no sources yet")
        return()
    endif()
    add_library(weir_${name} STATIC ${sources})
    set_target_properties(weir_${name} PROPERTIES OUTPUT_NAME weir-${name}
                          WEIR_DEPS "${ROOM_DEPS}" WEIR_PKG "${ROOM_PKG}")
    target_link_libraries(weir_${name} PUBLIC weir_flags)
    weir_link_room(weir_${name} ${ROOM_DEPS})
    foreach(module IN LISTS ROOM_PKG)
        weir_find_module(${module} library)
        target_link_libraries(weir_${name} PUBLIC ${library})
    endforeach()
    set(WEIR_ROOMS ${WEIR_ROOMS} ${name} CACHE INTERNAL "")
endfunction()
