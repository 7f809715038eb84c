#define _GNU_SOURCE
#include "larder_system.h"

// ---- sockets, descriptors, process ----

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#if !defined(__x86_64__)
ssize_t larder_receive(int fd, void *bytes, size_t count) { return syscall(SYS_read, fd, bytes, count); }

ssize_t larder_send(int fd, const void *bytes, size_t count, int flags) {
    return syscall(SYS_sendto, fd, bytes, count, flags, (void *)0, 0);
}
#endif

int larder_accept(int listener) {
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int larder_eventfd(void) {
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void larder_name_thread(const char *name) {
    // A name is a courtesy: one that is too long is refused, and that harms nobody.
    (void)pthread_setname_np(pthread_self(), name);
}

int larder_available_processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

int larder_unsent_bytes(int fd) {
    int count = 0;
    return ioctl(fd, TIOCOUTQ, &count) == 0 ? count : -1;
}

bool larder_has_hung_up(int fd) {
    struct pollfd watched = {.fd = fd, .events = POLLRDHUP};
    return poll(&watched, 1, 0) > 0;
}

int64_t larder_peer_user(int fd) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? (int64_t)peer.uid : -1;
}

bool larder_set_send_timeout(int fd, int64_t milliseconds) {
    struct timeval timeout = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0;
}

bool larder_is_socket(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

// ---- end of sockets, descriptors, process ----

// ---- command line ----

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t getopt_lock = PTHREAD_MUTEX_INITIALIZER;

int larder_getopt_each(
    int argc, char **argv, const char *letters, const larder_getopt_name *names, int names_count,
    void *context, void (*visit)(void *context, larder_getopt_found found)) {
    struct option *table = calloc((size_t)names_count + 1, sizeof(*table));
    char *quiet_letters = malloc(strlen(letters) + 2);
    if (table == NULL || quiet_letters == NULL) {
        free(table);
        free(quiet_letters);
        return -1;
    }
    for (int i = 0; i < names_count; i++) {
        table[i].name = names[i].name;
        table[i].has_arg = names[i].argument;
        table[i].val = names[i].letter;
    }
    // A leading colon makes getopt tell a missing argument from an unknown option.
    quiet_letters[0] = ':';
    strcpy(quiet_letters + 1, letters);

    pthread_mutex_lock(&getopt_lock);
    // 0, and not 1, makes glibc forget where an earlier command line ended.
    optind = 0;
    opterr = 0;
    int letter;
    while ((letter = getopt_long(argc, argv, quiet_letters, table, NULL)) != -1) {
        larder_getopt_found found = {.letter = letter, .argument = optarg};
        if (letter == '?' || letter == ':') {
            found.meant = optopt;
            found.argument = NULL;
            found.word = argv[optind > 1 ? optind - 1 : 1];
        }
        visit(context, found);
    }
    int first_word = optind;
    pthread_mutex_unlock(&getopt_lock);
    free(table);
    free(quiet_letters);
    return first_word;
}

// ---- end of command line ----
