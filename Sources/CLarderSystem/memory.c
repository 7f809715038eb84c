#define _GNU_SOURCE
#include "larder_system.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

void larder_tune_malloc(void) {
    // Setting the threshold also stops it from growing by itself.
    mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    mallopt(M_ARENA_MAX, 4);
}

void larder_trim_malloc(void) { (void)malloc_trim(0); }

// Read-only segments of a file have no private pages, so the file has all that is dropped.
static int drop_code(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size;
    (void)unused;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || segment->p_flags & PF_W) continue;
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        uintptr_t page = start & ~(uintptr_t)4095;
        // Without an effect where a page is larger, and for the kernel's own object.
        (void)madvise((void *)page, start + segment->p_memsz - page, MADV_DONTNEED);
    }
    return 0;
}

void larder_drop_start_pages(void) { (void)dl_iterate_phdr(drop_code, NULL); }

size_t larder_usable_size(const void *memory) { return malloc_usable_size((void *)memory); }
