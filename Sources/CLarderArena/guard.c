// What is done when a page of a mapped file cannot be read: see larder_guard_add.
#define _GNU_SOURCE
#include "guard.h"
#include "larder_arena.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { guards_max = 256 };

// start is 0 where there is no guard; it is written last, and read first.
static struct {
    uintptr_t start;
    uintptr_t end;
    // Set when a page goes missing, or the file is changed: see larder_guard_store. NULL for a reader's mapping.
    uint32_t *damage;
    // Readable when another program has written to the file; -1 without a watch.
    int watch_fd;
    uint64_t missing_pages;
} guards[guards_max];
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
// How many signal handlers may be using a damage word.
static uint32_t handlers;
static bool is_installed;
static uint64_t missing_pages;
uint32_t larder_damage_counter;

// The signals of a program that reads damaged memory.
static const int fatal_signals[] = {SIGBUS, SIGSEGV, SIGILL, SIGTRAP, SIGFPE};
enum { fatal_signals_count = sizeof(fatal_signals) / sizeof(fatal_signals[0]) };
static struct sigaction previous_actions[fatal_signals_count];

void larder_stop_for_damage(void) {
    static const char text[] =
        "larder: the store's file was changed by another program while the store was in use. Stopping: "
        "the next start keeps the items that are intact.\n";
    // Only if standard error takes it at once: the process must end without waiting for a reader.
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&output, 1, 0) > 0 && output.revents & POLLOUT) (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(71);  // EX_OSERR
}

bool larder_condemn(uint32_t *damage, uint32_t reason) {
    if (__atomic_load_n(damage, __ATOMIC_ACQUIRE) != 0) return false;
    // Before, so that a thread that finds the store condemned, or emptied already, finds another number, too. And
    // after, since a thread may look for a condemned store in between.
    __atomic_fetch_add(&larder_damage_counter, 1, __ATOMIC_ACQ_REL);
    uint32_t sound = 0;
    if (!__atomic_compare_exchange_n(damage, &sound, reason, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return false;
    __atomic_fetch_add(&larder_damage_counter, 1, __ATOMIC_ACQ_REL);
    return true;
}

// Replaces a page that cannot be read by a page of zeros. False if no guarded mapping has the address.
static bool replace_missing_page(uintptr_t address) {
    for (int i = 0; i < guards_max; i++) {
        uintptr_t start = __atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE);
        if (start == 0 || address < start || address >= __atomic_load_n(&guards[i].end, __ATOMIC_RELAXED)) continue;
        uintptr_t page = address & ~(uintptr_t)(LARDER_PAGE_BYTES - 1);
        void *mapped = mmap(
            (void *)page, LARDER_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (mapped == MAP_FAILED) return false;
        uint32_t *damage = __atomic_load_n(&guards[i].damage, __ATOMIC_ACQUIRE);
        if (damage) larder_condemn(damage, LARDER_DAMAGE_MISSING_PAGES);
        __atomic_fetch_add(&missing_pages, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&guards[i].missing_pages, 1, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

// Whether a change of a store's file is known, or can be read from its watch.
static bool any_store_is_damaged(void) {
    for (int i = 0; i < guards_max; i++) {
        if (__atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE) == 0) continue;
        uint32_t *damage = __atomic_load_n(&guards[i].damage, __ATOMIC_ACQUIRE);
        if (!damage) continue;
        if (__atomic_load_n(damage, __ATOMIC_ACQUIRE) != 0) return true;
        struct pollfd watched = {.fd = __atomic_load_n(&guards[i].watch_fd, __ATOMIC_RELAXED), .events = POLLIN};
        if (poll(&watched, 1, 0) > 0 && watched.revents & POLLIN) return true;
    }
    return false;
}

static void signal_came(int signal_number, siginfo_t *information, void *context) {
    if (signal_number == SIGBUS && replace_missing_page((uintptr_t)information->si_addr)) return;
    // The thread that watches the file may not have reported the change yet. Wait for it up to 50 ms.
    const struct timespec moment = {.tv_sec = 0, .tv_nsec = 1000000};
    for (int step = 0; step < 50; step++) {
        if (any_store_is_damaged()) larder_stop_for_damage();
        nanosleep(&moment, NULL);
    }
    // No store was damaged, so this is a fault of the program. An earlier handler gets it; the default action ends the
    // process.
    for (int i = 0; i < fatal_signals_count; i++) {
        if (fatal_signals[i] != signal_number) continue;
        if (previous_actions[i].sa_flags & SA_SIGINFO) {
            previous_actions[i].sa_sigaction(signal_number, information, context);
        } else if (previous_actions[i].sa_handler != SIG_DFL && previous_actions[i].sa_handler != SIG_IGN) {
            previous_actions[i].sa_handler(signal_number);
        } else {
            signal(signal_number, SIG_DFL);
        }
    }
}

static void install(void) {
    struct sigaction action = {.sa_sigaction = signal_came, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    is_installed = true;
    for (int i = 0; i < fatal_signals_count; i++) {
        is_installed = sigaction(fatal_signals[i], &action, &previous_actions[i]) == 0 && is_installed;
    }
}

bool larder_guard_add(const void *start, size_t bytes) {
    pthread_mutex_lock(&guards_lock);
    if (!is_installed) install();
    bool is_added = false;
    for (int i = 0; i < guards_max && is_installed && !is_added; i++) {
        if (guards[i].start != 0) continue;
        __atomic_store_n(&guards[i].missing_pages, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].end, (uintptr_t)start + bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].damage, NULL, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].watch_fd, -1, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].start, (uintptr_t)start, __ATOMIC_RELEASE);
        is_added = true;
    }
    pthread_mutex_unlock(&guards_lock);
    return is_added;
}

void larder_guard_store(const void *start, uint32_t *damage, int watch_fd) {
    pthread_mutex_lock(&guards_lock);
    for (int i = 0; i < guards_max; i++) {
        if (guards[i].start != (uintptr_t)start) continue;
        __atomic_store_n(&guards[i].watch_fd, watch_fd, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].damage, damage, __ATOMIC_SEQ_CST);
        // A page may have gone missing before `damage` was set.
        if (damage && guards[i].missing_pages > 0) larder_condemn(damage, LARDER_DAMAGE_MISSING_PAGES);
    }
    // A handler that has found the former word may still write to it.
    for (uint32_t step = 0; __atomic_load_n(&handlers, __ATOMIC_SEQ_CST) != 0; step++) larder_wait_step(step);
    pthread_mutex_unlock(&guards_lock);
}

void larder_guards_enter(void) { __atomic_fetch_add(&handlers, 1, __ATOMIC_SEQ_CST); }

void larder_guards_leave(void) { __atomic_fetch_sub(&handlers, 1, __ATOMIC_SEQ_CST); }

void larder_guards_condemn(uint32_t *damage, uint32_t reason) {
    for (int i = 0; i < guards_max; i++) {
        if (__atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE) == 0) continue;
        if (__atomic_load_n(&guards[i].damage, __ATOMIC_SEQ_CST) != damage) continue;
        larder_condemn(damage, reason);
        return;
    }
}

void larder_guard_remove(const void *start) {
    pthread_mutex_lock(&guards_lock);
    for (int i = 0; i < guards_max; i++) {
        if (guards[i].start == (uintptr_t)start) __atomic_store_n(&guards[i].start, 0, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&guards_lock);
}

void larder_guard_count_missing(const void *start, uint64_t pages) {
    for (int i = 0; i < guards_max; i++) {
        if (__atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE) != (uintptr_t)start) continue;
        // Pages that the process has touched are counted already.
        uint64_t counted = __atomic_load_n(&guards[i].missing_pages, __ATOMIC_RELAXED);
        if (pages <= counted) return;
        __atomic_fetch_add(&missing_pages, pages - counted, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].missing_pages, pages, __ATOMIC_RELEASE);
    }
}

uint64_t larder_guard_missing_pages(void) { return __atomic_load_n(&missing_pages, __ATOMIC_RELAXED); }

const uint64_t *larder_guard_missing_pages_of(const void *start) {
    for (int i = 0; i < guards_max; i++) {
        if (__atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE) == (uintptr_t)start) return &guards[i].missing_pages;
    }
    return NULL;
}
