// What each thread holds, for the checks of LockRules.swift, and waits that take longer.
#include "larder_arena.h"

void larder_wait_longer(uint32_t step) {
    if (step < 2048) {
        (void)sched_yield();
    } else {
        const struct timespec moment = {.tv_sec = 0, .tv_nsec = 50000};
        (void)nanosleep(&moment, NULL);
    }
}

larder_thread_holdings *larder_holdings_of_thread(void) {
    static _Thread_local larder_thread_holdings holdings;
    return &holdings;
}
