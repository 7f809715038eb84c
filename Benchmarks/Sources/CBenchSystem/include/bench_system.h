// System calls that Swift's Glibc module does not show, each with the least that the load generator
// needs of it.
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <stdint.h>

// The arguments of main. Swift's own list is empty without /proc, and when a preloaded library has changed the
// environment.
int bench_argument_count(void);
// The argument at `number`, which must be less than the count.
const char *bench_argument(int number);

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

// Waits `nanoseconds`, to the microsecond where the kernel is newer than 5.11; writes at most `count` (1024 or
// fewer) entries. A signal counts as nothing ready.
int bench_epoll_wait(int epoll, bench_ready *ready, int count, int64_t nanoseconds);

// A server's address: a copy of a struct sockaddr, which Swift need not look into.
typedef struct {
    uint64_t bytes[16];
    uint32_t length;
    // Which of the loopback's 253 other addresses is spoken from, once the first has run out of ports.
    uint32_t source;
} bench_address;

// Finds the first address of a host that accepts. `family`: 4, 6 or 0 for either. 0, or -1 and errno, or
// getaddrinfo's error code, negative and minus 1000.
int bench_resolve(const char *host, const char *port, int family, bench_address *address);

// The address of the Unix socket at `path`; -1 when the path is too long.
int bench_unix_address(const char *path, bench_address *address);

// A non-blocking socket without Nagle's delay that is connected, or (over TCP, where `waits` is 0) soon will be.
int bench_connect(bench_address *address, int waits);

// A listener on 127.0.0.1, or at a path where nothing is; clients have no Nagle's delay.
int bench_listen(uint16_t port);
int bench_listen_unix(const char *path);

// The next client, non-blocking.
int bench_accept(int listener);

// Plain numbers, because Swift takes timespec from whichever module it met first.
uint64_t bench_monotonic_nanoseconds(void);

// CPU time of the calling thread.
uint64_t bench_thread_cpu_nanoseconds(void);

// Lets this thread's waits end when they are due, and not 50 microseconds later.
void bench_wake_precisely(void);

// Makes writing to a connection that is gone an error, and not the end of the process.
void bench_ignore_broken_pipes(void);

// Lets this process have `count` descriptors; -1 when the system forbids it.
int bench_raise_descriptor_limit(uint64_t count);

// Mounts a file system in memory of `bytes` at `path`, and unmounts it. -1 and errno on failure, for example without
// the right to mount.
int bench_mount_memory(const char *path, uint64_t bytes);
int bench_unmount(const char *path);

#endif
