#define _GNU_SOURCE
#include "larder_system.h"

#include <malloc.h>

void larder_tune_malloc(void) {
    // Setting the threshold also stops it from growing by itself.
    mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    mallopt(M_ARENA_MAX, 4);
}

void larder_trim_malloc(void) { (void)malloc_trim(0); }

size_t larder_usable_size(const void *memory) { return malloc_usable_size((void *)memory); }
