# How every target of the house is compiled, and how a floor of it becomes a static library.

set(MRD_WARNINGS
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2
  -Wimplicit-fallthrough -Wswitch-enum -Werror)

add_compile_options(-fno-common -fno-omit-frame-pointer)
add_compile_definitions(_GNU_SOURCE)
if(MRD_SANITIZE)
  add_compile_options(-fsanitize=${MRD_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MRD_SANITIZE})
  add_compile_definitions(MRD_SANITIZED=1)
endif()

# mrd_floor(name [DIRS d...] [BELOW floor] [USES library...])
# Static library mrd_<name> of every .c file in the floor's directories. A floor without sources
# is an interface library, so that the floors above can already stand on it.
function(mrd_floor name)
  cmake_parse_arguments(F "" "BELOW" "DIRS;USES" ${ARGN})
  if(NOT F_DIRS)
    set(F_DIRS ${name})
  endif()
  set(sources)
  foreach(dir ${F_DIRS})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
    list(APPEND sources ${found})
  endforeach()
  if(EXISTS ${CMAKE_SOURCE_DIR}/${name}/generate.cmake)
    include(${CMAKE_SOURCE_DIR}/${name}/generate.cmake) # may append to sources
  endif()
  if(sources)
    add_library(mrd_${name} STATIC ${sources})
    target_compile_options(mrd_${name} PRIVATE ${MRD_WARNINGS})
    set(scope PUBLIC)
  else()
    add_library(mrd_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(mrd_${name} ${scope} ${CMAKE_SOURCE_DIR})
  if(F_BELOW)
    target_link_libraries(mrd_${name} ${scope} mrd_${F_BELOW})
  endif()
  target_link_libraries(mrd_${name} ${scope} ${F_USES})
endfunction()
