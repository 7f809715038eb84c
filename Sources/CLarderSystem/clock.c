#define _GNU_SOURCE
#include "larder_system.h"

#include <sys/resource.h>
#include <time.h>

int64_t larder_milliseconds(bool wall) {
    struct timespec now;
    clock_gettime(wall ? CLOCK_REALTIME : CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

larder_cpu_time larder_process_cpu_time(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (larder_cpu_time){
        .user_microseconds = (int64_t)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec,
        .system_microseconds = (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec,
    };
}
