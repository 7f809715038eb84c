// The few calls of OpenSSL that a load generator needs.
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include <stddef.h>

typedef struct ssl_ctx_st bench_tls_context;
typedef struct ssl_st bench_tls_session;

// A client's context. `authorities`: whose signatures are trusted (null: the system's); `certificate` and `key`:
// what the client shows, or null; `verifies`: 0 to believe any server. Null and a text when something is wrong.
bench_tls_context *bench_tls_context_new(
    const char *authorities, const char *certificate, const char *key, int verifies, char *text, size_t capacity);
void bench_tls_context_free(bench_tls_context *context);

// A session over a connected socket. `name`: what is asked for (SNI) unless null; `host`: what the certificate must
// be for, unless null. Null when there is no memory.
bench_tls_session *bench_tls_session_new(
    bench_tls_context *context, int descriptor, const char *name, const char *host);
// Says good-bye without waiting for an answer, and frees the session.
void bench_tls_session_end(bench_tls_session *session);

enum { BENCH_TLS_CLOSED = 0, BENCH_TLS_WAITS = -1, BENCH_TLS_FAILED = -2 };

// 1 when the handshake is done.
int bench_tls_handshake(bench_tls_session *session, int *wants_to_write);
// The number of bytes, or one of the above.
long bench_tls_read(bench_tls_session *session, void *bytes, size_t count);
long bench_tls_write(bench_tls_session *session, const void *bytes, size_t count);
// Whether there is something to read that the socket no longer shows.
int bench_tls_has_pending(const bench_tls_session *session);
// Why the calling thread's last call failed.
void bench_tls_describe(const bench_tls_session *session, char *text, size_t capacity);
// `TLSv1.3` and the cipher's name.
const char *bench_tls_version(const bench_tls_session *session);
const char *bench_tls_cipher(const bench_tls_session *session);

#endif
