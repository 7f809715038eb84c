#define _GNU_SOURCE
#include "bench_system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int bench_epoll_create(void) {
    return epoll_create1(EPOLL_CLOEXEC);
}

int bench_epoll_watch(int epoll, int descriptor, uint32_t index, int writing, int known) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0), .data.u32 = index};
    return epoll_ctl(epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event);
}

static int wait_for_events(int epoll, struct epoll_event *events, int count, int64_t nanoseconds) {
#ifdef SYS_epoll_pwait2
    static _Thread_local int is_missing;
    // Whole milliseconds are good enough for long waits, and cheaper.
    if (!is_missing && nanoseconds % 1000000 != 0) {
        struct timespec timeout = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
        int found = (int)syscall(SYS_epoll_pwait2, epoll, events, count, &timeout, NULL, (size_t)0);
        if (found >= 0 || errno != ENOSYS) {
            return found;
        }
        is_missing = 1;
    }
#endif
    return epoll_wait(epoll, events, count, (int)((nanoseconds + 999999) / 1000000));
}

int bench_epoll_wait(int epoll, bench_ready *ready, int count, int64_t nanoseconds) {
    struct epoll_event events[1024];
    int found = wait_for_events(epoll, events, count < 1024 ? count : 1024, nanoseconds);
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

static int close_keeping_errno(int descriptor) {
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
}

// Speaks from 127.0.0.2 to 127.0.0.254: one address has 28,000 ports, which short connections use up in seconds.
static void choose_source(int descriptor, const bench_address *address) {
    const struct sockaddr_in *target = (const struct sockaddr_in *)address->bytes;
    if (address->source == 0 || target->sin_family != AF_INET) {
        return;
    }
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(0x7f000001 + address->source);
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    (void)bind(descriptor, (const struct sockaddr *)&source, sizeof source);
}

static int is_on_loopback(const bench_address *address) {
    const struct sockaddr_in *target = (const struct sockaddr_in *)address->bytes;
    return target->sin_family == AF_INET && ntohl(target->sin_addr.s_addr) >> 24 == 127;
}

static int finish_connecting(int descriptor) {
    struct pollfd watched = {.fd = descriptor, .events = POLLOUT};
    int ready = poll(&watched, 1, 10000);
    int error = 0;
    socklen_t size = sizeof error;
    if (ready == 1 && getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
        return descriptor;
    }
    errno = ready == 0 ? ETIMEDOUT : error != 0 ? error : errno;
    return close_keeping_errno(descriptor);
}

int bench_connect(bench_address *address, int waits) {
    const struct sockaddr *target = (const struct sockaddr *)address->bytes;
    // A Unix socket that does not block refuses when the server is behind with accepting: wait there.
    int is_unix = target->sa_family == AF_UNIX;
    for (;;) {
        int descriptor = socket(target->sa_family, SOCK_STREAM | SOCK_CLOEXEC | (is_unix ? 0 : SOCK_NONBLOCK), 0);
        if (descriptor < 0) {
            return -1;
        }
        if (!is_unix) {
            int on = 1;
            setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            choose_source(descriptor, address);
        }
        if (connect(descriptor, target, address->length) == 0) {
            if (is_unix) {
                fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
            }
            return descriptor;
        }
        if (errno == EINPROGRESS) {
            return waits ? finish_connecting(descriptor) : descriptor;
        }
        if (errno != EADDRNOTAVAIL || !is_on_loopback(address) || address->source >= 253) {
            return close_keeping_errno(descriptor);
        }
        close(descriptor);
        address->source++;
    }
}

int bench_resolve(const char *host, const char *port, int family, bench_address *address) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    hints.ai_family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        return -1000 - (error < 0 ? -error : error);
    }
    int descriptor = -1;
    for (struct addrinfo *at = found; at != NULL && descriptor < 0; at = at->ai_next) {
        memset(address, 0, sizeof *address);
        memcpy(address->bytes, at->ai_addr, at->ai_addrlen);
        address->length = at->ai_addrlen;
        descriptor = bench_connect(address, 1);
    }
    int reason = errno;
    freeaddrinfo(found);
    errno = reason;
    if (descriptor < 0) {
        return -1;
    }
    close(descriptor);
    return 0;
}

int bench_unix_address(const char *path, bench_address *address) {
    struct sockaddr_un target = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof target.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(target.sun_path, path);
    memset(address, 0, sizeof *address);
    memcpy(address->bytes, &target, sizeof target);
    address->length = sizeof target;
    return 0;
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

void bench_wake_precisely(void) {
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

void bench_ignore_broken_pipes(void) {
    signal(SIGPIPE, SIG_IGN);
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

static int begin_listening(int listener, const void *address, socklen_t length) {
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, address, length) == 0 && listen(listener, 1024) == 0) return listener;
    close(listener);
    return -1;
}

int bench_listen(uint16_t port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    if (listener < 0) return -1;
    // Inherited by what is accepted.
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return begin_listening(listener, &address, sizeof address);
}

int bench_listen_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return -1;
    strcpy(address.sun_path, path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return listener < 0 ? -1 : begin_listening(listener, &address, sizeof address);
}

int bench_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

int bench_mount_memory(const char *path, uint64_t bytes) {
    char options[64];
    snprintf(options, sizeof options, "size=%llu", (unsigned long long)bytes);
    return mount("larder-soak", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}

int bench_unmount(const char *path) {
    return umount2(path, MNT_DETACH);
}
