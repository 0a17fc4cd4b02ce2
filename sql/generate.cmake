# The grammar: lemon turns the joined parts of sql/parse*.y into generated/lemon/parse.{c,h}. A conflict fails
# the build (lemon's exit code is the number of its complaints).
find_program(LEMON lemon REQUIRED)
find_file(LEMPAR lempar.c PATHS /usr/share/lemon /usr/local/share/lemon REQUIRED)

set(MRD_GENERATED ${CMAKE_BINARY_DIR}/generated)
set(lemon_dir ${MRD_GENERATED}/lemon)
set(grammar)
foreach(part parse parse_expr parse_query parse_define parse_session)
  list(APPEND grammar ${CMAKE_SOURCE_DIR}/sql/${part}.y)
endforeach()
file(MAKE_DIRECTORY ${lemon_dir})
add_custom_command(
  OUTPUT ${lemon_dir}/parse.c ${lemon_dir}/parse.h
  COMMAND ${CMAKE_COMMAND} -E cat ${grammar} > ${lemon_dir}/parse.y
  COMMAND ${LEMON} -q -l -c -T${LEMPAR} -d${lemon_dir} ${lemon_dir}/parse.y
  DEPENDS ${grammar} ${LEMPAR}
  COMMENT "lemon sql/parse.y"
  VERBATIM)
set_source_files_properties(${lemon_dir}/parse.c PROPERTIES COMPILE_OPTIONS
  "-Wno-missing-prototypes;-Wno-unused-parameter;-Wno-unused-variable;-Wno-conversion;-Wno-cast-qual;-Wno-undef;-Wno-switch-enum;-Wno-implicit-fallthrough;-Wno-type-limits")
include_directories(${MRD_GENERATED})
list(APPEND sources ${lemon_dir}/parse.c ${lemon_dir}/parse.h)
