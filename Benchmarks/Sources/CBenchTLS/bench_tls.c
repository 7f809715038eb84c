#include "bench_tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static void take_error(const char *what, char *text, size_t capacity) {
    unsigned long error = ERR_peek_error();
    char reason[256] = "no reason given";
    if (error != 0) {
        ERR_error_string_n(error, reason, sizeof reason);
    }
    ERR_clear_error();
    snprintf(text, capacity, "%s: %s", what, reason);
}

bench_tls_context *bench_tls_context_new(
    const char *authorities, const char *certificate, const char *key, int verifies, char *text, size_t capacity) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) {
        take_error("OpenSSL", text, capacity);
        return NULL;
    }
    // What is sent may be cut anywhere, and copied in between.
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    SSL_CTX_set_verify(context, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    const char *wrong = NULL;
    if (authorities != NULL ? SSL_CTX_load_verify_locations(context, authorities, NULL) != 1
                            : SSL_CTX_set_default_verify_paths(context) != 1) {
        wrong = authorities != NULL ? authorities : "the system's certificates";
    } else if (certificate != NULL && SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
        wrong = certificate;
    } else if (key != NULL && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        wrong = key;
    } else if (certificate != NULL && SSL_CTX_check_private_key(context) != 1) {
        wrong = "--cert and --key";
    }
    if (wrong != NULL) {
        take_error(wrong, text, capacity);
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

void bench_tls_context_free(bench_tls_context *context) {
    SSL_CTX_free(context);
}

bench_tls_session *bench_tls_session_new(
    bench_tls_context *context, int descriptor, const char *name, const char *host) {
    SSL *session = SSL_new(context);
    if (session == NULL) {
        return NULL;
    }
    int is_set = SSL_set_fd(session, descriptor);
    if (name != NULL) {
        is_set &= (int)SSL_set_tlsext_host_name(session, name);
    }
    if (host != NULL) {
        // An address in figures is compared with the certificate's addresses, a name with its names.
        X509_VERIFY_PARAM *parameters = SSL_get0_param(session);
        if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host) != 1) {
            ERR_clear_error();
            is_set &= SSL_set1_host(session, host);
        }
    }
    if (is_set != 1) {
        SSL_free(session);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_connect_state(session);
    return session;
}

void bench_tls_session_end(bench_tls_session *session) {
    if (SSL_is_init_finished(session)) {
        SSL_shutdown(session);
    }
    ERR_clear_error();
    SSL_free(session);
}

static long outcome(const SSL *session, int result) {
    switch (SSL_get_error(session, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return BENCH_TLS_WAITS;
    case SSL_ERROR_ZERO_RETURN:
        return BENCH_TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        return errno == 0 ? BENCH_TLS_CLOSED : BENCH_TLS_FAILED;
    default:
        return BENCH_TLS_FAILED;
    }
}

static int limited(size_t count) {
    return count > INT_MAX ? INT_MAX : (int)count;
}

int bench_tls_handshake(bench_tls_session *session, int *wants_to_write) {
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(session);
    *wants_to_write = SSL_want_write(session);
    return result == 1 ? 1 : (int)outcome(session, result);
}

long bench_tls_read(bench_tls_session *session, void *bytes, size_t count) {
    ERR_clear_error();
    errno = 0;
    int result = SSL_read(session, bytes, limited(count));
    return result > 0 ? result : outcome(session, result);
}

long bench_tls_write(bench_tls_session *session, const void *bytes, size_t count) {
    ERR_clear_error();
    errno = 0;
    int result = SSL_write(session, bytes, limited(count));
    return result > 0 ? result : outcome(session, result);
}

int bench_tls_has_pending(const bench_tls_session *session) {
    return SSL_has_pending(session);
}

void bench_tls_describe(const bench_tls_session *session, char *text, size_t capacity) {
    long verified = SSL_get_verify_result(session);
    int reason = errno;
    if (verified != X509_V_OK) {
        snprintf(text, capacity, "TLS: the server's certificate: %s", X509_verify_cert_error_string(verified));
    } else if (ERR_peek_error() == 0 && reason != 0) {
        snprintf(text, capacity, "TLS: %s", strerror(reason));
    } else {
        take_error("TLS", text, capacity);
    }
}

const char *bench_tls_version(const bench_tls_session *session) {
    return SSL_get_version(session);
}

const char *bench_tls_cipher(const bench_tls_session *session) {
    return SSL_get_cipher_name(session);
}
