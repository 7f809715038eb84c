#define _GNU_SOURCE
#include "bench_system.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int bench_epoll_create(void) {
    return epoll_create1(EPOLL_CLOEXEC);
}

int bench_epoll_watch(int epoll, int descriptor, uint32_t index, int writing, int known) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.u32 = index};
    return epoll_ctl(epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event);
}

int bench_epoll_wait(int epoll, bench_ready *ready, int count, int milliseconds) {
    struct epoll_event events[1024];
    int found = epoll_wait(epoll, events, count < 1024 ? count : 1024, milliseconds);
    if (found < 0) {
        return errno == EINTR ? 0 : -1;
    }
    for (int i = 0; i < found; i++) {
        ready[i].index = events[i].data.u32;
        // Errors and hang-ups count as readable: the next recv tells which it was.
        ready[i].readable = (events[i].events & ~(uint32_t)EPOLLOUT) != 0;
        ready[i].writable = (events[i].events & EPOLLOUT) != 0;
    }
    return found;
}

// Connects, then makes the socket non-blocking: while connecting, waiting is what we want.
static int connected(int family, int type, int protocol, const struct sockaddr *address, socklen_t length) {
    int descriptor = socket(family, type | SOCK_CLOEXEC, protocol);
    if (descriptor < 0) {
        return -1;
    }
    int flags = fcntl(descriptor, F_GETFL);
    if (connect(descriptor, address, length) < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) {
        int reason = errno;
        close(descriptor);
        errno = reason;
        return -1;
    }
    return descriptor;
}

int bench_connect_tcp(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        return -1000 - (error < 0 ? -error : error);
    }
    int descriptor = -1;
    for (struct addrinfo *at = found; at != NULL && descriptor < 0; at = at->ai_next) {
        descriptor = connected(at->ai_family, at->ai_socktype, at->ai_protocol, at->ai_addr, at->ai_addrlen);
    }
    int reason = errno;
    freeaddrinfo(found);
    errno = reason;
    if (descriptor >= 0) {
        int on = 1;
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return descriptor;
}

int bench_connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    return connected(AF_UNIX, SOCK_STREAM, 0, (const struct sockaddr *)&address, sizeof address);
}

static uint64_t clock_nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_monotonic_nanoseconds(void) {
    return clock_nanoseconds(CLOCK_MONOTONIC);
}

uint64_t bench_thread_cpu_nanoseconds(void) {
    return clock_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

int bench_raise_descriptor_limit(uint64_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return -1;
    }
    if (limit.rlim_cur >= count) {
        return 0;
    }
    limit.rlim_cur = count;
    if (limit.rlim_max < count) {
        limit.rlim_max = count;
    }
    return setrlimit(RLIMIT_NOFILE, &limit);
}
