#include "larder_digest.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *md5;
static EVP_MD *sha256;

// The context is our own, with the default provider: a system in FIPS mode has no MD5 in the common one. Keys are
// spread with MD5, nothing is protected by it.
static void fetch(void) {
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
    if (!context || !OSSL_PROVIDER_load(context, "default")) return;
    md5 = EVP_MD_fetch(context, "MD5", NULL);
    sha256 = EVP_MD_fetch(context, "SHA256", NULL);
}

static int digest(EVP_MD *const *kind, const void *bytes, size_t count, uint8_t *out) {
    pthread_once(&once, fetch);
    return *kind && EVP_Digest(bytes, count, out, NULL, *kind, NULL);
}

int larder_md5(const void *bytes, size_t count, uint8_t out[16]) { return digest(&md5, bytes, count, out); }

int larder_sha256(const void *bytes, size_t count, uint8_t out[32]) { return digest(&sha256, bytes, count, out); }
