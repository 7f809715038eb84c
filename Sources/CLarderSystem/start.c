#define _GNU_SOURCE
#include "larder_system.h"

#include <fcntl.h>
#include <unistd.h>

#ifndef __GLIBC__
#error "only glibc gives constructors the arguments of main"
#endif

static int argument_count;
static char **argument_values;

// glibc passes the arguments of main to every constructor.
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    argument_values = values;
}

int larder_argument_count(void) { return argument_count; }

const char *larder_argument(int number) { return argument_values[number]; }

bool larder_open_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) != -1) continue;
        // `fd` is the lowest closed descriptor, so open returns it.
        int opened = open("/dev/null", O_RDWR);
        // Without /dev/null: a descriptor that can be neither read nor written.
        if (opened < 0) opened = open("/", O_PATH | O_DIRECTORY);
        if (opened != fd) return false;
    }
    return true;
}
