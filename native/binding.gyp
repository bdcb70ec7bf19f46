{
  "targets": [{
    "target_name": "understudy",
    "sources": ["<!@(ls engine/*.cc binding/*.cc)"],
    "cflags!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc!": ["-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-msse4.2"],
    "conditions": [["target_arch!='x64'", {"cflags_cc!": ["-msse4.2"]}]],
    "include_dirs": ["engine"],
    "libraries": ["-lzstd", "-lpthread"],
    "defines": ["NAPI_VERSION=8", "XXH_INLINE_ALL", "_FILE_OFFSET_BITS=64"]
  }]
}
