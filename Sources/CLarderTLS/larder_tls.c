#include "larder_tls.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

// Every function that is used, by the name that <openssl/ssl.h> declares.
#define FUNCTIONS(F)                                                                                      \
    F(TLS_server_method) F(TLS_client_method) F(SSL_CTX_new) F(SSL_CTX_free) F(SSL_CTX_ctrl)              \
    F(SSL_CTX_set_options) F(SSL_CTX_use_certificate_chain_file) F(SSL_CTX_use_PrivateKey_file)           \
    F(SSL_CTX_check_private_key) F(SSL_CTX_load_verify_locations) F(SSL_load_client_CA_file)              \
    F(SSL_CTX_set_client_CA_list) F(SSL_CTX_set_cipher_list) F(SSL_CTX_set_verify)                        \
    F(SSL_CTX_set_session_id_context) F(SSL_CTX_get0_certificate) F(SSL_CTX_get0_privatekey)              \
    F(SSL_CTX_use_cert_and_key) F(SSL_CTX_get_cert_store) F(SSL_CTX_set1_cert_store)                      \
    F(SSL_CTX_get_client_CA_list) F(SSL_dup_CA_list) F(SSL_new) F(SSL_free) F(SSL_set_fd)                 \
    F(SSL_get_SSL_CTX) F(SSL_get_verify_mode) F(SSL_get_verify_result) F(SSL_get_session)                 \
    F(SSL_SESSION_get0_peer) F(SSL_accept) F(SSL_connect) F(SSL_read) F(SSL_write) F(SSL_has_pending)     \
    F(SSL_session_reused) F(SSL_shutdown) F(SSL_get_error) F(ERR_peek_error) F(ERR_clear_error)           \
    F(ERR_error_string_n) F(X509_get0_notAfter) F(ASN1_TIME_to_tm)

#define FIELD(name) __typeof__(name) *name;
static struct {
    FUNCTIONS(FIELD)
} openssl;

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define LIBRARY "libssl.so." TEXT(OPENSSL_SHLIB_VERSION)
#else
#define LIBRARY "libssl.so.1.1"
#endif

const char *larder_tls_load(void) {
    static void *library;
    if (library) return NULL;
    void *loaded = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!loaded) return dlerror();
    // Looks through what libssl itself needs as well: libcrypto.
#define LOAD(name)                                                 \
    openssl.name = (__typeof__(openssl.name))dlsym(loaded, #name); \
    if (!openssl.name) return dlerror();
    FUNCTIONS(LOAD)
    library = loaded;
    return NULL;
}

// ---- contexts ----

static larder_tls_context *new_context(const SSL_METHOD *method) {
    SSL_CTX *context = openssl.SSL_CTX_new(method);
    if (!context) return NULL;
    // What is asked to be written may move and grow between two attempts, and is written record by record.
    long modes = SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
    // Idle connections have no record buffers.
    modes |= SSL_MODE_RELEASE_BUFFERS;
    openssl.SSL_CTX_ctrl(context, SSL_CTRL_MODE, modes, NULL);
    // One read of the socket for several records, or for a record and its head.
    openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_READ_AHEAD, 1, NULL);
    openssl.SSL_CTX_set_options(
        context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    // A client that just closes its socket is gone, and nothing more.
    openssl.SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    return context;
}

larder_tls_context *larder_tls_context_new(void) { return new_context(openssl.TLS_server_method()); }

larder_tls_context *larder_tls_client_context_new(void) { return new_context(openssl.TLS_client_method()); }

void larder_tls_context_free(larder_tls_context *context) { openssl.SSL_CTX_free(context); }

bool larder_tls_set_min_version(larder_tls_context *context, int version) {
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    if (version < 0 || version > 3) return false;
    return openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, versions[version], NULL) == 1;
}

bool larder_tls_use_chain(larder_tls_context *context, const char *path) {
    return openssl.SSL_CTX_use_certificate_chain_file(context, path) == 1;
}

bool larder_tls_use_key(larder_tls_context *context, const char *path, int format) {
    return openssl.SSL_CTX_use_PrivateKey_file(context, path, format) == 1;
}

bool larder_tls_check_key(const larder_tls_context *context) {
    return openssl.SSL_CTX_check_private_key(context) == 1;
}

bool larder_tls_use_authorities(larder_tls_context *context, const char *path) {
    if (openssl.SSL_CTX_load_verify_locations(context, path, NULL) != 1) return false;
    STACK_OF(X509_NAME) *names = openssl.SSL_load_client_CA_file(path);
    if (!names) return false;
    openssl.SSL_CTX_set_client_CA_list(context, names);
    return true;
}

bool larder_tls_share_certificates(larder_tls_context *context, larder_tls_context *pattern) {
    STACK_OF(X509) *chain = NULL;
    if (openssl.SSL_CTX_ctrl(pattern, SSL_CTRL_GET_CHAIN_CERTS, 0, &chain) != 1) return false;
    X509 *certificate = openssl.SSL_CTX_get0_certificate(pattern);
    EVP_PKEY *key = openssl.SSL_CTX_get0_privatekey(pattern);
    if (openssl.SSL_CTX_use_cert_and_key(context, certificate, key, chain, 1) != 1) return false;
    openssl.SSL_CTX_set1_cert_store(context, openssl.SSL_CTX_get_cert_store(pattern));
    STACK_OF(X509_NAME) *names = openssl.SSL_CTX_get_client_CA_list(pattern);
    if (!names) return true;
    names = openssl.SSL_dup_CA_list(names);
    if (!names) return false;
    openssl.SSL_CTX_set_client_CA_list(context, names);
    return true;
}

int64_t larder_tls_certificate_end(const larder_tls_context *context) {
    const X509 *certificate = openssl.SSL_CTX_get0_certificate(context);
    struct tm time;
    if (!certificate || openssl.ASN1_TIME_to_tm(openssl.X509_get0_notAfter(certificate), &time) != 1) return -1;
    return timegm(&time);
}

bool larder_tls_set_session_scope(larder_tls_context *context, const void *scope, unsigned length) {
    return openssl.SSL_CTX_set_session_id_context(context, scope, length) == 1;
}

bool larder_tls_set_ciphers(larder_tls_context *context, const char *list) {
    return openssl.SSL_CTX_set_cipher_list(context, list) == 1;
}

int larder_tls_verify_flags(int mode) {
    static const int flags[] = {
        SSL_VERIFY_NONE, SSL_VERIFY_PEER, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT | SSL_VERIFY_CLIENT_ONCE};
    // A mode that there is not is the strictest.
    return mode >= 0 && mode <= 3 ? flags[mode] : flags[2];
}

void larder_tls_set_verify(larder_tls_context *context, int flags) {
    openssl.SSL_CTX_set_verify(context, flags, NULL);
}

void larder_tls_set_session_cache(larder_tls_context *context, bool enabled, long sessions) {
    long mode = enabled ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF;
    openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, mode, NULL);
    openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_SIZE, sessions, NULL);
}

bool larder_tls_enable_kernel(larder_tls_context *context) {
#ifdef SSL_OP_ENABLE_KTLS
    openssl.SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
    return true;
#else
    (void)context;
    return false;
#endif
}

// ---- sessions ----

larder_tls_session *larder_tls_session_new(larder_tls_context *context, int fd) {
    SSL *session = openssl.SSL_new(context);
    if (session && openssl.SSL_set_fd(session, fd) == 1) return session;
    openssl.SSL_free(session);
    openssl.ERR_clear_error();
    return NULL;
}

void larder_tls_session_free(larder_tls_session *session) { openssl.SSL_free(session); }

int larder_tls_accept(larder_tls_session *session) { return openssl.SSL_accept(session); }

int larder_tls_connect(larder_tls_session *session) { return openssl.SSL_connect(session); }

int larder_tls_read(larder_tls_session *session, void *bytes, int count) {
    return openssl.SSL_read(session, bytes, count);
}

int larder_tls_write(larder_tls_session *session, const void *bytes, int count) {
    return openssl.SSL_write(session, bytes, count);
}

bool larder_tls_has_pending(const larder_tls_session *session) { return openssl.SSL_has_pending(session) == 1; }

bool larder_tls_is_resumed(const larder_tls_session *session) {
    return openssl.SSL_session_reused((SSL *)session) == 1;
}

bool larder_tls_asks_certificate(const larder_tls_session *session) {
    return openssl.SSL_get_verify_mode(session) & SSL_VERIFY_PEER;
}

bool larder_tls_is_made_from(const larder_tls_session *session, const larder_tls_context *context) {
    return openssl.SSL_get_SSL_CTX(session) == context;
}

unsigned long larder_tls_peer_error(const larder_tls_session *session) {
    int mode = openssl.SSL_get_verify_mode(session);
    if (!(mode & SSL_VERIFY_PEER)) return 0;
    SSL_SESSION *parameters = openssl.SSL_get_session(session);
    if (!parameters || !openssl.SSL_SESSION_get0_peer(parameters)) {
        if (!(mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT)) return 0;
        return ERR_PACK(ERR_LIB_SSL, 0, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
    }
    if (openssl.SSL_get_verify_result(session) == X509_V_OK) return 0;
    return ERR_PACK(ERR_LIB_SSL, 0, SSL_R_CERTIFICATE_VERIFY_FAILED);
}

void larder_tls_shutdown(larder_tls_session *session) {
    // An error is as good as anything: the socket is about to be closed.
    if (openssl.SSL_shutdown(session) < 0) openssl.ERR_clear_error();
}

larder_tls_outcome larder_tls_outcome_of(const larder_tls_session *session, int result, unsigned long *error) {
    int reason = openssl.SSL_get_error(session, result);
    *error = 0;
    if (reason == SSL_ERROR_WANT_READ) return LARDER_TLS_WANTS_READ;
    if (reason == SSL_ERROR_WANT_WRITE) return LARDER_TLS_WANTS_WRITE;
    *error = larder_tls_take_error();
    return reason == SSL_ERROR_SSL ? LARDER_TLS_FAILED : LARDER_TLS_CLOSED;
}

// ---- errors ----

unsigned long larder_tls_take_error(void) {
    unsigned long error = openssl.ERR_peek_error();
    openssl.ERR_clear_error();
    return error;
}

void larder_tls_describe(unsigned long error, char *text, size_t capacity) {
    openssl.ERR_error_string_n(error, text, capacity);
}
