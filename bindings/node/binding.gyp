{
  # The static library comes from the repository (scripts/library.js builds it with cargo) or from the folder in SOCKEYE_LIB.
  "variables": {
    "sockeye_library%": "<!(node scripts/library.js)",
    "sockeye_include%": "<!(node scripts/library.js --include)"
  },
  "targets": [
    {
      "target_name": "sockeye",
      "sources": ["src/addon.c", "src/engine.c", "src/submit.c", "src/guest.c", "src/values.c", "src/cluster.c", "src/emitter.c", "src/door.c"],
      "include_dirs": ["<(sockeye_include)"],
      "libraries": ["<(sockeye_library)", "-lpthread", "-ldl", "-lm"],
      "cflags": ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
      "ldflags": ["-Wl,--exclude-libs,ALL"]
    }
  ]
}
