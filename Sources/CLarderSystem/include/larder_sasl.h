// The calls of libsasl2 that the server needs. The library is loaded only with -S, because most servers do not need it.
#ifndef LARDER_SASL_H
#define LARDER_SASL_H

#include <stdbool.h>

// One client's login.
typedef struct sasl_conn larder_sasl_session;

// Loads the library. Returns null, or the reason of the failure, which is valid until the next call. Call it first, and
// from one thread.
const char *larder_sasl_load(void);

// Initializes the library with memcached's name and configuration. `log` gets its lines up to `level` (SASL_LOG_...).
bool larder_sasl_begin(int level, void (*log)(int level, const char *line));

// ---- sessions: one thread at a time ----

// A new session; null if the library refuses.
larder_sasl_session *larder_sasl_session_new(void);
void larder_sasl_session_free(larder_sasl_session *session);
// The names of the mechanisms with a space between them, valid as long as the session; null if there is none.
const char *larder_sasl_mechanisms(larder_sasl_session *session);

typedef enum {
    LARDER_SASL_SUCCEEDED,
    LARDER_SASL_CONTINUES,  // there is a challenge, which the client answers by another step
    LARDER_SASL_FAILED,
} larder_sasl_outcome;

// A step of a login. The first step names the mechanism, later steps have null. *challenge is valid until the next
// step.
larder_sasl_outcome larder_sasl_step(
    larder_sasl_session *session, const char *mechanism, const void *message, unsigned length, const char **challenge,
    unsigned *challenge_length);

#endif
