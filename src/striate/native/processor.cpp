// What the processor at hand can do, asked before anything is run that it may not have.
#include "vector.h"

// Bit 0: AVX2 with FMA.  Bit 1: AVX-512 (F, BW, DQ, VL).  The operating system must save the registers, too.
API int striate_processor(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx2 | avx512 << 1;
#else
    return 0;
#endif
}

API int striate_lanes(void) { return LANES; }
