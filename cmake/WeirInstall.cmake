# What `make install` lays down: the program, its samples, the public headers, and for each library
# that can be taken alone a static archive with its pkg-config file (weir-model, weir-streams ...).

set(WEIR_LIBRARIES base loop wire record kafka flow plog model connect streams broker)

function(weir_install_library room)
    get_target_property(deps weir_${room} WEIR_DEPS)
    get_target_property(modules weir_${room} WEIR_PKG)
    set(requires)
    set(plain -lm)
    foreach(dep IN LISTS deps)
        if(TARGET weir_${dep})
            list(APPEND requires weir-${dep})
        endif()
    endforeach()
    foreach(module IN LISTS modules)
        if(module STREQUAL "snappy")
            list(APPEND plain -lsnappy)
        else()
            list(APPEND requires ${module})
        endif()
    endforeach()
    file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    string(REGEX REPLACE "/$" "" up ${up})
    list(JOIN requires " " requires)
    list(JOIN plain " " plain)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/pkgconfig/weir-${room}.pc @ONLY CONTENT
"prefix=\${pcfiledir}/@up@
libdir=\${prefix}/@CMAKE_INSTALL_LIBDIR@
includedir=\${prefix}/@CMAKE_INSTALL_INCLUDEDIR@

Name: weir-@room@
Description: the @room@ library of Weir
Version: @PROJECT_VERSION@
Requires: @requires@
Libs: -L\${libdir} -lweir-@room@ -pthread @plain@
Cflags: -I\${includedir}
")
    install(TARGETS weir_${room} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(FILES ${CMAKE_BINARY_DIR}/pkgconfig/weir-${room}.pc
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

foreach(room IN LISTS WEIR_LIBRARIES)
    if(TARGET weir_${room})
        weir_install_library(${room})
    endif()
endforeach()
if(TARGET weir)
    install(TARGETS weir RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(DIRECTORY samples DESTINATION ${CMAKE_INSTALL_DATADIR}/weir OPTIONAL
        PATTERN __pycache__ EXCLUDE)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
