// MD5 and SHA-256 of the system's OpenSSL, for the client's key hashes.
#ifndef LARDER_DIGEST_H
#define LARDER_DIGEST_H

#include <stddef.h>
#include <stdint.h>

// Each writes the digest of `count` bytes. It returns 0 if this OpenSSL does not have the digest.
int larder_md5(const void *bytes, size_t count, uint8_t digest[16]);
int larder_sha256(const void *bytes, size_t count, uint8_t digest[32]);

#endif
