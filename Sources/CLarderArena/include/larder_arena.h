// The records of the shared arena, and the loads and stores that are made on them.
//
// Everything in an arena is addressed by its offset from the arena's start, so that it can be
// mapped anywhere. C promises the layout of a struct and Swift does not: hence this header.
// Fields that other threads change are only touched through the functions below.
//
// Another process may read an arena in a file in place, through a read-only mapping, and takes nothing on
// trust: docs/reading-in-place.md is the whole of what both sides keep to.
//
//   slab 0 ............................ metadata slabs | data slabs ............ | index slabs
//   superblock, slab table, directory                  | items, in blocks        | (from the end down)
#ifndef LARDER_ARENA_H
#define LARDER_ARENA_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define LARDER_ARENA_MAGIC 0x4152454E4452414CULL  // "LARDRENA" read as little-endian bytes
// A file has the first version until a key of more than 255 bytes is stored in it, so older programs open it until then.
#define LARDER_ARENA_VERSION 2
#define LARDER_ARENA_VERSION_LONG_KEYS 3
#define LARDER_BYTE_ORDER_MARK 0x01020304u
#define LARDER_PAGE_BYTES 4096

// --- Superblock: the first page of the arena; a file has a copy behind the arena ---------------

/// A number that must outlive the process. Value, then check: a pair that was half written, or
/// damaged, does not match, and the other superblock's counts.
typedef struct larder_durable {
    uint64_t value;
    uint64_t check;
} larder_durable;

typedef struct larder_superblock {
    // Written once, when the arena is made.
    uint64_t magic;
    uint32_t version;
    uint32_t byte_order;  // LARDER_BYTE_ORDER_MARK
    uint64_t arena_bytes;
    uint32_t block_shift;  // a block is 1 << block_shift bytes
    uint32_t slab_shift;  // a slab is 1 << slab_shift bytes
    uint32_t slab_count;
    uint32_t metadata_slab_count;  // slabs 0 ..< this hold what is described here
    uint64_t slab_table_offset;
    uint64_t directory_offset;
    uint64_t hash_seed;  // seeds the key hash and the checksums
    uint32_t page_bytes;  // LARDER_PAGE_BYTES
    uint32_t superblock_bytes;
    uint64_t fixed_check;  // larder_superblock_check of the bytes before

    // Change, each with one store. Used as hints only when a file is opened.
    uint64_t bucket_count;    // atomic; buckets of the linear hash index
    uint64_t cas_last;        // atomic; the last cas given out
    uint64_t slab_sequence;   // under the space lock; order in which slabs were opened
    uint64_t index_slab_count;  // under the space lock
    uint64_t index_epoch;     // atomic; odd while the index is being rebuilt: readers keep out

    // Files only.
    uint64_t clean;           // 1 after an orderly end, 0 while a process has the file open
    uint64_t owner_pid;       // the process that has, or had, the file
    uint8_t owner_boot[16];   // the boot of the machine in which it ran
    int64_t clock_offset_ms;  // the owner's clock is CLOCK_BOOTTIME plus this
    larder_durable flush_sequence;  // slabs opened up to this one are dead
    larder_durable flush_at_ms;     // when a delayed flush falls due; INT64_MAX: never
} larder_superblock;

// --- Slab table: one record of a cache line for each slab -------------------------------------

enum larder_slab_state {
    LARDER_SLAB_FREE = 0,
    LARDER_SLAB_OPEN = 1,      // one session appends to it
    LARDER_SLAB_SEALED = 2,    // full or set aside; items in it may die, none is added
    LARDER_SLAB_RUN_HEAD = 3,  // the first slab of an item larger than a slab
    LARDER_SLAB_RUN_TAIL = 4,
    LARDER_SLAB_LIMBO = 5,     // unreachable; free once no reader can still look at it
    LARDER_SLAB_INDEX = 6,
    LARDER_SLAB_METADATA = 7,
    LARDER_SLAB_CLAIMED = 8,   // being gathered for a run or for the index
};

typedef struct larder_slab {
    uint32_t state;        // atomic, enum larder_slab_state; changed under the space lock
    uint32_t opened_seconds;  // the store's clock when it was opened: no item in it is older
    uint64_t sequence;     // superblock.slab_sequence when it was opened: its age
    // sequence, expiry_base_ms, expiry_end_ms and cas_base stay as they are while the slab holds
    // items: their checksums are seeded with them.
    int64_t expiry_base_ms;  // the start of its time bucket; items count from here
    int64_t expiry_end_ms;   // the end of its time bucket; INT64_MAX: items without expiry
    uint64_t cas_base;       // items' 24-bit order of writing counts from here
    uint32_t cursor_blocks;  // blocks handed out so far, from the slab's start
    uint32_t live_blocks;    // atomic; blocks of live items
    uint32_t run_slabs;      // RUN_HEAD: slabs in the run
    uint32_t level;          // level of its time bucket
    uint64_t limbo_epoch;    // LIMBO: free when every session has passed this epoch
} larder_slab;

_Static_assert(sizeof(larder_slab) == 64, "a slab record is one cache line");
_Static_assert(sizeof(larder_superblock) <= LARDER_PAGE_BYTES, "the superblock fits its page");

// --- Index bucket: one cache line ---------------------------------------------------------------
//
//   0        4                16                                                             64
//   | version | 12 tags        | 12 block numbers                                             |
//
// version: odd while a writer holds the bucket, else the number of changes times two.
// tag: 0 empty; 255 in the last slot: that slot's number is the line of an overflow bucket;
// else eight bits of the key's hash, kept within 1...254.

#define LARDER_BUCKET_SLOTS 12
#define LARDER_TAG_EMPTY 0
#define LARDER_TAG_LINK 255

typedef struct larder_bucket {
    uint32_t version;
    uint8_t tags[LARDER_BUCKET_SLOTS];
    uint32_t blocks[LARDER_BUCKET_SLOTS];
} larder_bucket;

_Static_assert(sizeof(larder_bucket) == 64, "a bucket is one cache line");

/// A bit for each slot whose tag is `tag`. The tags are loaded as two words: a writer may change
/// one at the same moment, which the bucket's version then tells.
static inline uint32_t larder_bucket_match(const larder_bucket *bucket, uint8_t tag) {
    const uint64_t *words = (const uint64_t *)(const void *)bucket;
    uint64_t low = __atomic_load_n(&words[0], __ATOMIC_RELAXED);
    uint64_t high = __atomic_load_n(&words[1], __ATOMIC_RELAXED);
#if defined(__SSE2__)
    __m128i tags = _mm_set_epi64x((long long)high, (long long)low);
    int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
    return (uint32_t)mask >> 4;
#else
    uint32_t mask = 0;
    for (int i = 0; i < 4; i++) mask |= (uint32_t)(((low >> (32 + 8 * i)) & 0xff) == tag) << i;
    for (int i = 0; i < 8; i++) mask |= (uint32_t)(((high >> (8 * i)) & 0xff) == tag) << (4 + i);
    return mask;
#endif
}

static inline uint8_t larder_bucket_tag(const larder_bucket *bucket, uint32_t slot) {
    return __atomic_load_n(&bucket->tags[slot], __ATOMIC_RELAXED);
}
static inline uint32_t larder_bucket_block(const larder_bucket *bucket, uint32_t slot) {
    return __atomic_load_n(&bucket->blocks[slot], __ATOMIC_ACQUIRE);
}
/// Publishes an item: its bytes are visible to whoever sees the number.
static inline void larder_bucket_publish(larder_bucket *bucket, uint32_t slot, uint32_t block) {
    __atomic_store_n(&bucket->blocks[slot], block, __ATOMIC_RELEASE);
}
static inline void larder_bucket_set_tag(larder_bucket *bucket, uint32_t slot, uint8_t tag) {
    __atomic_store_n(&bucket->tags[slot], tag, __ATOMIC_RELEASE);
}
static inline uint32_t larder_bucket_version(const larder_bucket *bucket) {
    return __atomic_load_n(&bucket->version, __ATOMIC_ACQUIRE);
}
/// True when no writer changed the bucket since `version` was read.
static inline bool larder_bucket_unchanged(const larder_bucket *bucket, uint32_t version) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&bucket->version, __ATOMIC_RELAXED) == version;
}
static inline bool larder_bucket_try_lock(larder_bucket *bucket) {
    uint32_t version = __atomic_load_n(&bucket->version, __ATOMIC_RELAXED);
    if (version & 1) return false;
    bool locked = __atomic_compare_exchange_n(
        &bucket->version, &version, version + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    // Readers must see the odd version before any change made under the lock.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return locked;
}
/// Leaves the version even, even if the page was replaced by zeros while the bucket was locked.
static inline void larder_bucket_unlock(larder_bucket *bucket) {
    uint32_t version = __atomic_load_n(&bucket->version, __ATOMIC_RELAXED);
    __atomic_store_n(&bucket->version, (version | 1) + 1, __ATOMIC_RELEASE);
}

// --- Items --------------------------------------------------------------------------------------

#define LARDER_HEADER(form) \
    (10 + ((form) & 1) * 8 + ((form) & 2) * 2 + ((form) & 4) + ((form) & 8) / 2 + ((form) & 96) / 16)
#define LARDER_HEADERS_8(form) \
    LARDER_HEADER(form), LARDER_HEADER((form) + 1), LARDER_HEADER((form) + 2), LARDER_HEADER((form) + 3), \
    LARDER_HEADER((form) + 4), LARDER_HEADER((form) + 5), LARDER_HEADER((form) + 6), LARDER_HEADER((form) + 7)
#define LARDER_HEADERS_32(form) \
    LARDER_HEADERS_8(form), LARDER_HEADERS_8((form) + 8), LARDER_HEADERS_8((form) + 16), LARDER_HEADERS_8((form) + 24)

/// Bytes before an item's key: `ItemForm.headerBytes` by a table.
static inline uint64_t larder_header_bytes(uint8_t form) {
    static const uint8_t bytes[128] = {
        LARDER_HEADERS_32(0), LARDER_HEADERS_32(32), LARDER_HEADERS_32(64), LARDER_HEADERS_32(96)};
    return bytes[form & 0x7f];
}

/// Whether two keys of one length are the same. Reads nothing but their bytes.
static inline bool larder_keys_equal(const void *one, const void *other, uint64_t length) {
    const uint8_t *a = (const uint8_t *)one, *b = (const uint8_t *)other;
    uint64_t x, y;
    if (length - 8 <= 8) {
        // First and last eight bytes, of which some may be the same.
        uint64_t last_x, last_y;
        __builtin_memcpy(&x, a, 8);
        __builtin_memcpy(&y, b, 8);
        __builtin_memcpy(&last_x, a + length - 8, 8);
        __builtin_memcpy(&last_y, b + length - 8, 8);
        return ((x ^ y) | (last_x ^ last_y)) == 0;
    }
    if (length >= 8) {
        // Words from the start, and the last eight bytes, which may be among them.
        for (uint64_t place = 0; place + 8 < length; place += 8) {
            __builtin_memcpy(&x, a + place, 8);
            __builtin_memcpy(&y, b + place, 8);
            if (x != y) return false;
        }
        __builtin_memcpy(&x, a + length - 8, 8);
        __builtin_memcpy(&y, b + length - 8, 8);
        return x == y;
    }
    for (uint64_t place = 0; place < length; place++) {
        if (a[place] != b[place]) return false;
    }
    return true;
}

static inline void larder_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

// --- Plain atomics ------------------------------------------------------------------------------

static inline uint8_t larder_load_u8(const uint8_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void larder_store_u8(uint8_t *p, uint8_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline bool larder_exchange_u8_is(uint8_t *p, uint8_t expected, uint8_t desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
static inline uint16_t larder_load_u16(const uint16_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void larder_store_u16(uint16_t *p, uint16_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
/// An item's first eight bytes, one of which another thread may be changing.
static inline uint64_t larder_load_head(const void *p) {
    return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
}
static inline uint32_t larder_load_u32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void larder_store_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint32_t larder_add_u32(uint32_t *p, uint32_t v) {
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
static inline uint64_t larder_load_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void larder_store_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t larder_add_u64(uint64_t *p, uint64_t v) {
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
static inline void larder_or_u64(uint64_t *p, uint64_t v) { (void)__atomic_fetch_or(p, v, __ATOMIC_RELAXED); }
/// In order: whoever sees the later of two also sees the earlier one.
static inline void larder_and_u64(uint64_t *p, uint64_t v) { (void)__atomic_fetch_and(p, v, __ATOMIC_RELEASE); }
static inline bool larder_exchange_u32_is(uint32_t *p, uint32_t expected, uint32_t desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
/// A counter that one thread writes and any may read: no locked instruction.
static inline void larder_count(int64_t *p, int64_t v) {
    __atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + v, __ATOMIC_RELAXED);
}
static inline int64_t larder_counted(const int64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
/// Stores and makes sure that every later load comes after it: how a session says "I read now".
static inline void larder_announce_u64(uint64_t *p, uint64_t v) {
    (void)__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
}
static inline void larder_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/// A later step of a wait: gives up the rest of the time slice, and after a longer wait sleeps for a moment. With more
/// threads than cores the thread that is waited for may not be running.
void larder_wait_longer(uint32_t step) __attribute__((cold));

/// One step of waiting for another thread: a pause instruction, then a longer step.
static inline void larder_wait_step(uint32_t step) {
    if (step < 64) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    } else {
        larder_wait_longer(step);
    }
}

// A lock for sections of a few hundred instructions.
static inline void larder_spin_lock(uint32_t *p) {
    for (uint32_t step = 0; !larder_exchange_u32_is(p, 0, 1); step++) larder_wait_step(step);
}
static inline void larder_spin_unlock(uint32_t *p) { __atomic_store_n(p, 0, __ATOMIC_RELEASE); }

// --- Locks and sections of a thread: checked in debug builds (rules.c) -------------------------

/// The locks and the section of one thread: see LockRules.swift.
typedef struct larder_thread_holdings {
    const void *online;  // the session that is in a section, or NULL
    const void *store;   // the store whose locks are held; undefined without a lock
    uint32_t held;       // a bit for each kind of lock
} larder_thread_holdings;

/// The holdings of the calling thread.
larder_thread_holdings *larder_holdings_of_thread(void);
/// Each of these notes a step, or checks whether it is allowed. False if it breaks a rule.
bool larder_may_take(uint32_t lock, const void *store, bool waits);
bool larder_note_taken(uint32_t lock, const void *store);
bool larder_note_released(uint32_t lock, const void *store);
bool larder_may_await_sections(void);
bool larder_note_online(const void *session);
bool larder_note_offline(const void *session);

// --- Checksums: arenas in files (checksum.c) ---------------------------------------------------

/// Over bytes whose order and length matter, 64 bytes a step. Not secret, but seeded: bytes that a
/// client chose cannot be taken for an item.
uint64_t larder_checksum(const void *bytes, size_t count, uint64_t seed);
/// What an item's checksum starts from: an item counts at one place, in one life of its slab.
uint64_t larder_item_seed(const larder_slab *slab, uint64_t hash_seed, uint64_t block);
/// An item's checksum.
/// head: its first eight bytes; what may change of them is left out. cas: its wide cas, or 0.
/// bytes: key and value, which follow each other.
uint32_t larder_item_checksum(
    uint64_t item_seed, uint64_t head, uint64_t cas, uint32_t client_flags, const void *bytes, size_t count);
/// Bits of an item's first eight bytes that change while it lives: `dead`, and the state byte.
#define LARDER_HEAD_CHANGING 0x000000000000ff80ULL

/// The check of a superblock's fixed part.
uint64_t larder_superblock_check(const larder_superblock *superblock);
/// Writes a number that must outlive the process.
void larder_durable_write(larder_durable *place, uint64_t value, uint64_t seed);
/// False when the pair does not match.
bool larder_durable_read(const larder_durable *place, uint64_t seed, uint64_t *value);
static inline larder_durable *larder_flush_sequence(larder_superblock *superblock) {
    return &superblock->flush_sequence;
}
static inline larder_durable *larder_flush_at(larder_superblock *superblock) { return &superblock->flush_at_ms; }

// --- Readers in other processes: nothing but loads, of eight bytes at most ---------------------

static inline uint64_t larder_index_epoch(const larder_superblock *superblock) {
    return larder_load_u64(&superblock->index_epoch);
}
static inline uint64_t larder_bucket_count(const larder_superblock *superblock) {
    return larder_load_u64(&superblock->bucket_count);
}
static inline int64_t larder_clock_offset(const larder_superblock *superblock) {
    return __atomic_load_n(&superblock->clock_offset_ms, __ATOMIC_RELAXED);
}
static inline void larder_set_clock_offset(larder_superblock *superblock, int64_t offset_ms) {
    __atomic_store_n(&superblock->clock_offset_ms, offset_ms, __ATOMIC_RELAXED);
}
/// Both numbers of the flush; false when one of them is being written, or damaged.
bool larder_flush_read(const larder_superblock *superblock, uint64_t seed, uint64_t *sequence, uint64_t *at_ms);
/// A slab's record, field by field: the fields are of one life of the slab if `larder_slab_is_still` says
/// so afterwards.
static inline larder_slab larder_slab_read(const larder_slab *slab) {
    larder_slab copy = {.state = larder_load_u32(&slab->state)};
    copy.sequence = larder_load_u64(&slab->sequence);
    copy.expiry_base_ms = __atomic_load_n(&slab->expiry_base_ms, __ATOMIC_RELAXED);
    copy.expiry_end_ms = __atomic_load_n(&slab->expiry_end_ms, __ATOMIC_RELAXED);
    copy.cas_base = __atomic_load_n(&slab->cas_base, __ATOMIC_RELAXED);
    copy.cursor_blocks = __atomic_load_n(&slab->cursor_blocks, __ATOMIC_RELAXED);
    copy.run_slabs = __atomic_load_n(&slab->run_slabs, __ATOMIC_RELAXED);
    return copy;
}
/// Whether a record allows its items to be read. A run is claimed until its maker knows it published.
static inline bool larder_slab_is_readable(const larder_slab *record) {
    return record->state == LARDER_SLAB_OPEN || record->state == LARDER_SLAB_SEALED
        || record->state == LARDER_SLAB_RUN_HEAD || (record->state == LARDER_SLAB_CLAIMED && record->run_slabs > 1);
}
/// Whether what was loaded from a slab before this call was of the life that `record` was read in. A
/// writer changes the state, and then the sequence, before the first byte of a new life.
static inline bool larder_slab_is_still(const larder_slab *slab, const larder_slab *record) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    larder_slab now = larder_slab_read(slab);
    return larder_slab_is_readable(&now) && now.sequence == record->sequence;
}
/// Waits a moment without the system.
static inline void larder_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

// --- Stores whose memory cannot be trusted (guard.c, watch.c) ----------------------------------

#define LARDER_DAMAGE_LOCKED_FOR_EVER 1
#define LARDER_DAMAGE_MISSING_PAGES 2
#define LARDER_DAMAGE_FILE_CHANGED 3

/// Changes whenever a store of this process is condemned. An answer must not be sent if this number changed after the
/// answer was begun.
extern uint32_t larder_damage_counter;
static inline uint32_t larder_damages(void) { return larder_load_u32(&larder_damage_counter); }
static inline const uint32_t *larder_damages_address(void) { return &larder_damage_counter; }
/// Why what the index of a store leads to may have to be left out. Both words are atomic.
typedef struct larder_attention {
    /// Why the store must be emptied; 0: the store is sound.
    uint32_t damage;
    /// 1 while slots of the index may lead to items that were flushed.
    uint32_t flushing;
} __attribute__((aligned(8))) larder_attention;
/// Whether one of the words is not 0. One load, since it is asked for at every lookup.
static inline bool larder_needs_attention(const larder_attention *attention) {
    return larder_load_u64((const uint64_t *)attention) != 0;
}

/// Notes why a store must be emptied. False if a reason is noted already.
bool larder_condemn(uint32_t *damage, uint32_t reason);
/// Prints one line and ends the process with exit code 71: a store cannot be emptied while it is in use.
void larder_stop_for_damage(void) __attribute__((noreturn));

/// Watches an open file. The descriptor is readable when another program has written to the file or truncated it.
/// Writes through a mapping are not noticed. -1 if the system cannot watch the file.
int larder_watch_file(int fd, const char *path);
/// Waits until `watch_fd` is readable. False if `stop_fd` is readable first.
bool larder_watch_wait(int watch_fd, int stop_fd);

/// Memory of a fixed size that another process can map, too (memfd_create). The descriptor is closed on exec. -1 and errno
/// on failure.
int larder_memory_file(const char *name, int64_t bytes);

/// A store whose file is watched.
typedef struct larder_watched_store {
    int fd;
    const char *path;
    uint32_t *damage;  // as given to larder_guard_store
} larder_watched_store;

/// Has the kernel interrupt the calling thread, by SIGIO, at the first change of one of the files. The store is
/// condemned in the signal's handler, so no other thread has to run first. Replaces what the thread watched before.
/// False if the system cannot do it: then only larder_watch_file notices changes.
bool larder_watch_in_thread(const larder_watched_store *stores, size_t count);
/// Ends it. To be called in the thread, before it ends.
void larder_watch_end_in_thread(void);

// --- Mapped files whose pages go missing (guard.c) ---------------------------------------------

/// Survives a file that is truncated, or a disk that fails, under a mapping: a page that cannot be
/// read becomes a private page of zeros, in which nothing is found. False when there are too many.
bool larder_guard_add(const void *start, size_t bytes);
/// Guards the mapping of a store. When a page goes missing, `damage` becomes LARDER_DAMAGE_MISSING_PAGES: the zeros in
/// the page are not the store's data.
/// watch_fd: readable when another program has written to the file, or -1.
///
/// While a guard exists, a fault that a changed file causes (a trap on a number out of range, for example) ends the
/// process with one line and exit code 71. Other faults are handled as without a guard.
void larder_guard_store(const void *start, uint32_t *damage, int watch_fd);
void larder_guard_remove(const void *start);
/// Counts missing pages that no thread has touched.
void larder_guard_count_missing(const void *start, uint64_t pages);
/// Pages that went missing, of all guarded mappings so far.
uint64_t larder_guard_missing_pages(void);
/// Where those of one guarded mapping are counted, as long as it is guarded.
const uint64_t *larder_guard_missing_pages_of(const void *start);

#endif
