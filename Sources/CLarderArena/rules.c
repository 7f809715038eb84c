// The locks and sections of each thread, for the checks of LockRules.swift, and the later steps of waits.
#include "larder_arena.h"

void larder_wait_longer(uint32_t step) {
    if (step < 2048) {
        (void)sched_yield();
    } else {
        const struct timespec moment = {.tv_sec = 0, .tv_nsec = 50000};
        (void)nanosleep(&moment, NULL);
    }
}

static _Thread_local larder_thread_holdings own;

larder_thread_holdings *larder_holdings_of_thread(void) { return &own; }

// The numbers of `StoreLocks`.
enum { lock_writing = 1, lock_space = 2, lock_open_slabs = 4, lock_bucket = 8, lock_sessions = 64 };

// The locks that a thread may hold while it takes `lock`.
static uint32_t larder_locks_allowed(uint32_t lock) {
    switch (lock) {
    case lock_writing:
    case lock_sessions: return 0;
    case lock_space: return lock_writing;
    case lock_open_slabs: return lock_writing | lock_space;
    case lock_bucket: return lock_writing | lock_space | lock_open_slabs;
    default: return lock_writing | lock_space | lock_open_slabs | lock_bucket;
    }
}

bool larder_may_take(uint32_t lock, const void *store, bool waits) {
    if (own.held & ~larder_locks_allowed(lock)) return false;
    if (own.held && store && own.store != store) return false;
    return !waits || !own.online;
}

bool larder_note_taken(uint32_t lock, const void *store) {
    if (own.held & lock) return false;
    own.held |= lock;
    if (store) own.store = store;
    return true;
}

bool larder_note_released(uint32_t lock, const void *store) {
    if (!(own.held & lock) || (store && own.store != store)) return false;
    own.held &= ~lock;
    return true;
}

bool larder_may_await_sections(void) { return !own.online && !(own.held & ~(uint32_t)(lock_writing | lock_space)); }

bool larder_note_online(const void *session) {
    if (own.held & ~(uint32_t)lock_writing || (own.online && own.online != session)) return false;
    own.online = session;
    return true;
}

bool larder_note_offline(const void *session) {
    if (own.held & ~(uint32_t)lock_writing) return false;
    if (own.online == session) own.online = NULL;
    return true;
}
