// What the server needs of libsasl2. The library is loaded when -S asks for it: most servers do not need it.
#ifndef LARDER_SASL_H
#define LARDER_SASL_H

#include <stdbool.h>

// One client's login.
typedef struct sasl_conn larder_sasl_session;

// Loads the library. null, or why it cannot be (good until the next call). Call it before anything else, and from one
// thread.
const char *larder_sasl_load(void);

// Makes the library ready, with memcached's name and configuration. `log` gets its lines up to `level` (SASL_LOG_...).
bool larder_sasl_begin(int level, void (*log)(int level, const char *line));

// ---- sessions: one thread at a time ----

// A session at its beginning; null when the library refuses.
larder_sasl_session *larder_sasl_session_new(void);
void larder_sasl_session_free(larder_sasl_session *session);
// The names of the mechanisms with a space between them, good as long as the session; null when there is none.
const char *larder_sasl_mechanisms(larder_sasl_session *session);

typedef enum {
    LARDER_SASL_SUCCEEDED,
    LARDER_SASL_CONTINUES,  // with a challenge, and another step of the client
    LARDER_SASL_FAILED,
} larder_sasl_outcome;

// A step of a login: the first with the mechanism, the others with null. *challenge is good until the next step.
larder_sasl_outcome larder_sasl_step(
    larder_sasl_session *session, const char *mechanism, const void *message, unsigned length, const char **challenge,
    unsigned *challenge_length);

#endif
