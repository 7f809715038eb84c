// What the parts of the guard of mapped files share.
#ifndef LARDER_GUARD_H
#define LARDER_GUARD_H

#include <stdint.h>

/// Between these two calls the damage words of guarded stores stay in memory. For signal handlers: neither call waits.
void larder_guards_enter(void);
void larder_guards_leave(void);
/// Condemns the store that has this damage word, if it is still guarded. The caller has entered.
void larder_guards_condemn(uint32_t *damage, uint32_t reason);

#endif
