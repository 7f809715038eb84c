// Notices of changes that other programs make to the files of stores.
#define _GNU_SOURCE
#include "guard.h"
#include "larder_arena.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

// Adds a file to an inotify descriptor; -1 if the system cannot watch it.
static int add_watch(int inotify, int fd, const char *path, uint32_t events) {
    // The path may name another file by now; the descriptor names the right one.
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    int watch = inotify_add_watch(inotify, link, events);
    return watch >= 0 ? watch : inotify_add_watch(inotify, path, events);
}

// --- A descriptor that a thread waits for ------------------------------------------------------

int larder_watch_file(int fd, const char *path) {
    int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (inotify < 0) return -1;
    if (add_watch(inotify, fd, path, IN_MODIFY) >= 0) return inotify;
    close(inotify);
    return -1;
}

bool larder_watch_wait(int watch_fd, int stop_fd) {
    while (true) {
        struct pollfd watched[2] = {{.fd = watch_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
        if (poll(watched, 2, -1) < 0) continue;
        if (watched[1].revents != 0) return false;
        if (watched[0].revents != 0) return true;
    }
}

// --- A signal that interrupts a thread ---------------------------------------------------------

struct watched_file {
    int watch;
    uint32_t *damage;
};
// What the handler uses: complete before the signal can come, and not changed afterwards.
struct thread_watch {
    int inotify;
    size_t count;
    struct watched_file files[];
};
static _Thread_local struct thread_watch *watch_of_thread;

static pthread_once_t handler_once = PTHREAD_ONCE_INIT;
static bool has_handler;
static struct sigaction previous_action;

static void condemn(const struct thread_watch *watch, const struct inotify_event *event) {
    // More changes than the queue holds: any file may be among them.
    bool is_any = (event->mask & IN_Q_OVERFLOW) != 0;
    if (!is_any && (event->mask & IN_MODIFY) == 0) return;
    for (size_t i = 0; i < watch->count; i++) {
        if (!is_any && watch->files[i].watch != event->wd) continue;
        larder_guards_condemn(watch->files[i].damage, LARDER_DAMAGE_FILE_CHANGED);
    }
}

static void file_changed(int signal_number, siginfo_t *information, void *context) {
    struct thread_watch *watch = __atomic_load_n(&watch_of_thread, __ATOMIC_ACQUIRE);
    if (!watch) {
        if (previous_action.sa_flags & SA_SIGINFO) {
            previous_action.sa_sigaction(signal_number, information, context);
        } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
            previous_action.sa_handler(signal_number);
        }
        return;
    }
    int error = errno;
    larder_guards_enter();
    char events[1024] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t count;
    while ((count = read(watch->inotify, events, sizeof(events))) > 0) {
        for (ssize_t place = 0; place < count;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)(events + place);
            condemn(watch, event);
            place += (ssize_t)(sizeof(*event) + event->len);
        }
    }
    larder_guards_leave();
    errno = error;
}

static void install(void) {
    struct sigaction action = {.sa_sigaction = file_changed, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    has_handler = sigaction(SIGIO, &action, &previous_action) == 0;
}

// Has the kernel send SIGIO to this thread when the descriptor has an event.
static bool interrupt_this_thread(int inotify) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGIO);
    if (pthread_sigmask(SIG_UNBLOCK, &signals, NULL) != 0) return false;
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = (pid_t)syscall(SYS_gettid)};
    if (fcntl(inotify, F_SETOWN_EX, &owner) != 0) return false;
    int flags = fcntl(inotify, F_GETFL);
    return flags >= 0 && fcntl(inotify, F_SETFL, flags | O_ASYNC) == 0;
}

bool larder_watch_in_thread(const larder_watched_store *stores, size_t count) {
    larder_watch_end_in_thread();
    pthread_once(&handler_once, install);
    struct thread_watch *watch = malloc(sizeof(*watch) + count * sizeof(watch->files[0]));
    if (!watch) return false;
    watch->count = count;
    watch->inotify = has_handler ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
    bool is_watched = watch->inotify >= 0;
    for (size_t i = 0; i < count && is_watched; i++) {
        // Once: the store leaves the file after the first change.
        int number = add_watch(watch->inotify, stores[i].fd, stores[i].path, IN_MODIFY | IN_ONESHOT);
        watch->files[i] = (struct watched_file){.watch = number, .damage = stores[i].damage};
        is_watched = number >= 0;
    }
    if (is_watched) {
        __atomic_store_n(&watch_of_thread, watch, __ATOMIC_RELEASE);
        // A change that came before the signals were turned on has sent none.
        if (interrupt_this_thread(watch->inotify) && raise(SIGIO) == 0) return true;
        larder_watch_end_in_thread();
        return false;
    }
    if (watch->inotify >= 0) close(watch->inotify);
    free(watch);
    return false;
}

void larder_watch_end_in_thread(void) {
    struct thread_watch *watch = watch_of_thread;
    if (!watch) return;
    // The handler must not use what is freed. A signal that comes later finds nothing.
    __atomic_store_n(&watch_of_thread, NULL, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    close(watch->inotify);
    free(watch);
}
