#define _GNU_SOURCE
#include "larder_arena.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int larder_memory_file(const char *name, int64_t bytes) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) return -1;
    if (ftruncate(fd, bytes) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}
