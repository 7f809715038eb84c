// What is done when a page of a mapped file cannot be read: see larder_guard_add.
#define _GNU_SOURCE
#include "larder_arena.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { guards_max = 256 };

// start is 0 where there is no guard; it is written last, and read first.
static struct {
    uintptr_t start;
    uintptr_t end;
    // Of its first part no page may go missing: see larder_guard_tables.
    uintptr_t tables_end;
    uint64_t missing_pages;
} guards[guards_max];
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous_action;
static bool is_installed;
static uint64_t missing_pages;

static void tables_are_missing(void) {
    static const char text[] =
        "larder: the tables of the store's file cannot be read: was it truncated, or is its disk failing? Stopping.\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(71);  // EX_OSERR
}

static void page_is_missing(int signal_number, siginfo_t *information, void *context) {
    uintptr_t address = (uintptr_t)information->si_addr;
    for (int i = 0; i < guards_max; i++) {
        uintptr_t start = __atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE);
        if (start == 0 || address < start || address >= __atomic_load_n(&guards[i].end, __ATOMIC_RELAXED)) continue;
        if (address < __atomic_load_n(&guards[i].tables_end, __ATOMIC_RELAXED)) tables_are_missing();
        uintptr_t page = address & ~(uintptr_t)(LARDER_PAGE_BYTES - 1);
        void *mapped = mmap(
            (void *)page, LARDER_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (mapped == MAP_FAILED) break;
        __atomic_fetch_add(&missing_pages, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&guards[i].missing_pages, 1, __ATOMIC_RELEASE);
        return;
    }
    // Not ours. Whoever was here before has it; the default is to die of it, at the same place.
    if (previous_action.sa_flags & SA_SIGINFO) {
        previous_action.sa_sigaction(signal_number, information, context);
    } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
        previous_action.sa_handler(signal_number);
    } else {
        signal(signal_number, SIG_DFL);
    }
}

bool larder_guard_add(const void *start, size_t bytes) {
    pthread_mutex_lock(&guards_lock);
    if (!is_installed) {
        struct sigaction action = {.sa_sigaction = page_is_missing, .sa_flags = SA_SIGINFO | SA_RESTART};
        sigemptyset(&action.sa_mask);
        is_installed = sigaction(SIGBUS, &action, &previous_action) == 0;
    }
    bool is_added = false;
    for (int i = 0; i < guards_max && is_installed && !is_added; i++) {
        if (guards[i].start != 0) continue;
        __atomic_store_n(&guards[i].missing_pages, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].end, (uintptr_t)start + bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].tables_end, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&guards[i].start, (uintptr_t)start, __ATOMIC_RELEASE);
        is_added = true;
    }
    pthread_mutex_unlock(&guards_lock);
    return is_added;
}

void larder_guard_tables(const void *start, size_t bytes) {
    pthread_mutex_lock(&guards_lock);
    for (int i = 0; i < guards_max; i++) {
        if (guards[i].start != (uintptr_t)start) continue;
        __atomic_store_n(&guards[i].tables_end, (uintptr_t)start + bytes, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&guards_lock);
}

void larder_guard_remove(const void *start) {
    pthread_mutex_lock(&guards_lock);
    for (int i = 0; i < guards_max; i++) {
        if (guards[i].start == (uintptr_t)start) __atomic_store_n(&guards[i].start, 0, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&guards_lock);
}

uint64_t larder_guard_missing_pages(void) { return __atomic_load_n(&missing_pages, __ATOMIC_RELAXED); }

const uint64_t *larder_guard_missing_pages_of(const void *start) {
    for (int i = 0; i < guards_max; i++) {
        if (__atomic_load_n(&guards[i].start, __ATOMIC_ACQUIRE) == (uintptr_t)start) return &guards[i].missing_pages;
    }
    return NULL;
}
