# The only place that may name instruction-set flags: which levels exist and how a per-level source is built.
#
# lazygram_isa_sources(<target> <stem> LEVELS <level>...) adds <stem>_<level>.cpp for every level that this
# architecture has. The library picks among them at run time (isa.hpp), so a per-level source must not define
# anything with external linkage that a source of another level defines too: inline functions of the standard
# library included. Keep those sources to intrinsics, plain loops and their own namespace.

set(LAZYGRAM_ISA_LEVELS baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(LAZYGRAM_ISA_LEVELS baseline avx2 avx512 avx512_vpopcntdq)
endif()

set(_lazygram_isa_flags_baseline "")
set(_lazygram_isa_flags_avx2 -mavx2 -mfma -mbmi2 -mpopcnt)
set(_lazygram_isa_flags_avx512 ${_lazygram_isa_flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
                               -mprefer-vector-width=512)
set(_lazygram_isa_flags_avx512_vpopcntdq ${_lazygram_isa_flags_avx512} -mavx512vpopcntdq)

# GCC 12 warns about its own AVX-512 headers.
set(_lazygram_quiet "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(_lazygram_quiet -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

function(lazygram_isa_sources target stem)
  cmake_parse_arguments(ARG "" "" "LEVELS" ${ARGN})
  foreach(level IN LISTS ARG_LEVELS)
    if(level IN_LIST LAZYGRAM_ISA_LEVELS)
      set(source ${stem}_${level}.cpp)
      target_sources(${target} PRIVATE ${source})
      set_source_files_properties(
        ${source} PROPERTIES COMPILE_OPTIONS "${_lazygram_isa_flags_${level}};-fno-trapping-math;-O3;${_lazygram_quiet}")
    endif()
  endforeach()
endfunction()

list(LENGTH LAZYGRAM_ISA_LEVELS _lazygram_isa_count)
if(_lazygram_isa_count GREATER 1)
  add_compile_definitions(LAZYGRAM_X86)
endif()
