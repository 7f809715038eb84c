// Checksums of arenas in files: folds of 128-bit products, as in wyhash (public domain), four at a time.
#include "larder_arena.h"

#include <string.h>

static const uint64_t first_secret = 0x2d358dccaa6c78a5ULL;
static const uint64_t second_secret = 0x8bb84b93962eacc9ULL;
static const uint64_t third_secret = 0x4b33a62ed433d4a3ULL;
static const uint64_t fourth_secret = 0x4d5a2da51de1aa47ULL;

static inline uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t word(const unsigned char *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

uint64_t larder_checksum(const void *bytes, size_t count, uint64_t seed) {
    const unsigned char *p = bytes;
    size_t left = count;
    // No operand is a known constant: one that a client could make zero would hide what it meets.
    uint64_t key = fold(seed ^ first_secret, second_secret);
    uint64_t state = seed ^ third_secret;
    if (left > 64) {
        uint64_t lanes[4] = {state, seed ^ first_secret, seed ^ second_secret, seed ^ fourth_secret};
        do {
            lanes[0] = fold(word(p) ^ key, word(p + 8) ^ lanes[0]);
            lanes[1] = fold(word(p + 16) ^ key, word(p + 24) ^ lanes[1]);
            lanes[2] = fold(word(p + 32) ^ key, word(p + 40) ^ lanes[2]);
            lanes[3] = fold(word(p + 48) ^ key, word(p + 56) ^ lanes[3]);
            p += 64;
            left -= 64;
        } while (left > 64);
        state = fold(lanes[0] ^ first_secret, lanes[1] ^ second_secret)
            ^ fold(lanes[2] ^ third_secret, lanes[3] ^ fourth_secret);
    }
    while (left > 16) {
        state = fold(word(p) ^ key, word(p + 8) ^ state);
        p += 16;
        left -= 16;
    }
    unsigned char rest[16] = {0};
    memcpy(rest, p, left);
    state = fold(word(rest) ^ key, word(rest + 8) ^ state);
    return fold(state ^ second_secret, (uint64_t)count ^ key);
}

uint64_t larder_item_seed(const larder_slab *slab, uint64_t hash_seed, uint64_t block) {
    uint64_t opened = fold(slab->sequence ^ hash_seed, slab->cas_base ^ first_secret);
    uint64_t expires = fold((uint64_t)slab->expiry_base_ms ^ hash_seed, (uint64_t)slab->expiry_end_ms ^ second_secret);
    return fold(opened ^ third_secret, expires ^ block ^ fourth_secret) ^ hash_seed;
}

uint32_t larder_item_checksum(
    uint64_t item_seed, uint64_t head, uint64_t cas, uint32_t client_flags, const void *bytes, size_t count) {
    uint64_t header = fold((head & ~LARDER_HEAD_CHANGING) ^ item_seed, cas ^ (uint64_t)client_flags << 20 ^ first_secret);
    uint64_t sum = larder_checksum(bytes, count, header ^ item_seed);
    return (uint32_t)(sum ^ sum >> 32);
}

uint64_t larder_superblock_check(const larder_superblock *superblock) {
    return larder_checksum(superblock, offsetof(larder_superblock, fixed_check), LARDER_ARENA_MAGIC);
}

static uint64_t durable_check(uint64_t value, uint64_t seed) {
    return fold(value ^ seed ^ first_secret, seed ^ second_secret);
}

void larder_durable_write(larder_durable *place, uint64_t value, uint64_t seed) {
    larder_store_u64(&place->value, value);
    larder_store_u64(&place->check, durable_check(value, seed));
}

bool larder_durable_read(const larder_durable *place, uint64_t seed, uint64_t *value) {
    uint64_t found = larder_load_u64(&place->value);
    if (larder_load_u64(&place->check) != durable_check(found, seed)) return false;
    *value = found;
    return true;
}

bool larder_flush_read(const larder_superblock *superblock, uint64_t seed, uint64_t *sequence, uint64_t *at_ms) {
    return larder_durable_read(&superblock->flush_sequence, seed, sequence)
        && larder_durable_read(&superblock->flush_at_ms, seed, at_ms);
}
