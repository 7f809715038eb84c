// What LarderTLS needs of OpenSSL 1.1.1 or newer. The library is loaded when it is first asked for: linked, it
// would cost every server that speaks in the clear 2.7 MB of memory and a third of its start-up time.
#ifndef LARDER_TLS_H
#define LARDER_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ssl_ctx_st larder_tls_context;
typedef struct ssl_st larder_tls_session;

// Loads the library. null, or why it cannot be (good until the next call). Call it before anything else, and
// from one thread.
const char *larder_tls_load(void);

// ---- contexts ----

// A server's context with the modes that this server relies on; null when there is no memory.
larder_tls_context *larder_tls_context_new(void);
// A client's context, for tests and for asking a server whether it is there.
larder_tls_context *larder_tls_client_context_new(void);
void larder_tls_context_free(larder_tls_context *context);

// memcached's numbers: 0...3 for TLS 1.0...1.3.
bool larder_tls_set_min_version(larder_tls_context *context, int version);
bool larder_tls_use_chain(larder_tls_context *context, const char *path);
// format: 1 PEM, 2 DER.
bool larder_tls_use_key(larder_tls_context *context, const char *path, int format);
bool larder_tls_check_key(const larder_tls_context *context);
// Whose signatures are trusted, and named to clients.
bool larder_tls_use_authorities(larder_tls_context *context, const char *path);
// Gives `context` the certificate, the key and the authorities of `pattern`. Both must be contexts of a server.
bool larder_tls_share_certificates(larder_tls_context *context, larder_tls_context *pattern);

// When the certificate expires, as Unix time; -1 without one.
int64_t larder_tls_certificate_end(const larder_tls_context *context);
// Only sessions with the same scope are resumed. A scope has at most 32 bytes. Without a scope no session of a client
// that showed a certificate can be resumed.
bool larder_tls_set_session_scope(larder_tls_context *context, const void *scope, unsigned length);
bool larder_tls_set_ciphers(larder_tls_context *context, const char *list);
// OpenSSL's flags for memcached's numbers: 0 none, 1 request, 2 require, 3 once.
int larder_tls_verify_flags(int mode);
void larder_tls_set_verify(larder_tls_context *context, int flags);
void larder_tls_set_session_cache(larder_tls_context *context, bool enabled, long sessions);
// False when this OpenSSL has no kernel TLS.
bool larder_tls_enable_kernel(larder_tls_context *context);

// ---- sessions ----

// A session over a socket, at its beginning; null when there is no memory.
larder_tls_session *larder_tls_session_new(larder_tls_context *context, int fd);
void larder_tls_session_free(larder_tls_session *session);

// 1 when done, else what `larder_tls_outcome_of` is to look at.
int larder_tls_accept(larder_tls_session *session);
int larder_tls_connect(larder_tls_session *session);
// The number of bytes, or as above.
int larder_tls_read(larder_tls_session *session, void *bytes, int count);
int larder_tls_write(larder_tls_session *session, const void *bytes, int count);
bool larder_tls_has_pending(const larder_tls_session *session);
bool larder_tls_is_resumed(const larder_tls_session *session);
// Whether the server asks the client for a certificate.
bool larder_tls_asks_certificate(const larder_tls_session *session);
bool larder_tls_is_made_from(const larder_tls_session *session, const larder_tls_context *context);
// After the handshake: the reason to refuse the client, even if the handshake succeeded; 0 if there is none.
unsigned long larder_tls_peer_error(const larder_tls_session *session);
void larder_tls_shutdown(larder_tls_session *session);

typedef enum {
    LARDER_TLS_WANTS_READ,
    LARDER_TLS_WANTS_WRITE,
    LARDER_TLS_CLOSED,  // the peer has ended the connection, or its socket has
    LARDER_TLS_FAILED,  // the peer does not keep to the protocol, or did not convince
} larder_tls_outcome;

// What became of a call on a session that returned `result` <= 0; *error: OpenSSL's first error for it. The
// thread's queue of errors is empty afterwards, as the next call needs it.
larder_tls_outcome larder_tls_outcome_of(const larder_tls_session *session, int result, unsigned long *error);

// ---- errors ----

// Takes the thread's first error, and empties its queue.
unsigned long larder_tls_take_error(void);
// OpenSSL's words for an error.
void larder_tls_describe(unsigned long error, char *text, size_t capacity);

#endif
