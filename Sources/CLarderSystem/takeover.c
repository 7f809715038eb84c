// Needed by a server that hands its sockets and its memory over to the next one.
#define _GNU_SOURCE
#include "larder_system.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * larder_descriptors_max)];
};

bool larder_send_packet(int fd, const void *bytes, size_t count, const int *descriptors, int descriptor_count) {
    if (descriptor_count < 0 || descriptor_count > larder_descriptors_max) {
        errno = EINVAL;
        return false;
    }
    union control control;
    memset(&control, 0, sizeof(control));
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptor_count > 0) {
        size_t length = sizeof(int) * (size_t)descriptor_count;
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(length);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(length);
        memcpy(CMSG_DATA(header), descriptors, length);
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)count;
}

// Adds the descriptors of one control message, and closes those for which there is no room.
static bool take_descriptors(struct cmsghdr *header, int *descriptors, int *count) {
    bool fits = true;
    size_t found = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < found; i++) {
        int descriptor;
        memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
        if (*count < larder_descriptors_max) {
            descriptors[(*count)++] = descriptor;
        } else {
            close(descriptor);
            fits = false;
        }
    }
    return fits;
}

ssize_t larder_receive_packet(int fd, void *bytes, size_t capacity, int *descriptors, int *descriptor_count) {
    *descriptor_count = 0;
    union control control;
    struct iovec vector = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
    ssize_t count;
    do count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count < 0) return -1;
    bool fits = !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        if (!take_descriptors(header, descriptors, descriptor_count)) fits = false;
    }
    if (fits) return count;
    for (int i = 0; i < *descriptor_count; i++) close(descriptors[i]);
    *descriptor_count = 0;
    errno = EMSGSIZE;
    return -1;
}

int64_t larder_peer_process(int fd) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? (int64_t)peer.pid : 0;
}

static size_t length_of(char *const *list) {
    size_t count = 0;
    while (list[count]) count++;
    return count;
}

int larder_start_again(const char *directory, char *const *variables, pid_t *process) {
    size_t own = length_of(environ), added = length_of(variables);
    size_t arguments = (size_t)larder_argument_count();
    char **environment = calloc(own + added + 1, sizeof(char *));
    char **values = calloc(arguments + 1, sizeof(char *));
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (!environment || !values || posix_spawn_file_actions_init(&actions) != 0) {
        free(environment);
        free(values);
        return ENOMEM;
    }
    posix_spawnattr_init(&attributes);
    memcpy(environment, environ, own * sizeof(char *));
    memcpy(environment + own, variables, added * sizeof(char *));
    for (size_t i = 0; i < arguments; i++) values[i] = (char *)larder_argument((int)i);
    sigset_t none, pipe_only;
    sigemptyset(&none);
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &pipe_only);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    // Relative paths among the arguments begin at the directory that the server was started in.
    int error = posix_spawn_file_actions_addchdir_np(&actions, directory);
    if (error == 0) error = posix_spawnp(process, values[0], &actions, &attributes, values, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    free(values);
    return error;
}
