// System calls that Swift's Glibc module does not show, each with the least that the load generator
// needs of it.
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <stdint.h>

// Which connection has something to do.
typedef struct {
    uint32_t index;
    uint32_t readable;
    uint32_t writable;
} bench_ready;

// <sys/epoll.h> is not in the Glibc module. -1 and errno on failure, as everywhere below.
int bench_epoll_create(void);

// Watches `descriptor` for input, and for room to write when `writing` is not 0; reports `index`.
// `known`: 0 the first time.
int bench_epoll_watch(int epoll, int descriptor, uint32_t index, int writing, int known);

// Waits; writes at most `count` (1024 or fewer) entries. A signal counts as nothing ready.
int bench_epoll_wait(int epoll, bench_ready *ready, int count, int milliseconds);

// A connected, non-blocking TCP socket without Nagle's delay. getaddrinfo's error code, negative and
// minus 1000, when the name cannot be found.
int bench_connect_tcp(const char *host, const char *port);

// The same over the Unix socket at `path`.
int bench_connect_unix(const char *path);

// Plain numbers, because Swift takes timespec from whichever module it met first.
uint64_t bench_monotonic_nanoseconds(void);

// CPU time of the calling thread.
uint64_t bench_thread_cpu_nanoseconds(void);

// Lets this process have `count` descriptors; -1 when the system forbids it.
int bench_raise_descriptor_limit(uint64_t count);

#endif
