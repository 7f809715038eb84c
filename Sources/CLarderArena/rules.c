// What each thread holds, for the checks of LockRules.swift.
#include "larder_arena.h"

larder_thread_holdings *larder_holdings_of_thread(void) {
    static _Thread_local larder_thread_holdings holdings;
    return &holdings;
}
