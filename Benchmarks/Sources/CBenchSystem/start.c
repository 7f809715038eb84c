// A copy of the arguments' part of Sources/CLarderSystem/start.c. That target is not a product, so another package
// cannot import it.
#include "bench_system.h"

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

int bench_argument_count(void) { return argument_count; }

const char *bench_argument(int number) { return argument_values[number]; }
