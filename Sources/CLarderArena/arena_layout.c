// Offsets that are part of the arena's format: a compiler that lays them out otherwise is refused.
#include "larder_arena.h"

_Static_assert(offsetof(larder_superblock, arena_bytes) == 16, "format");
_Static_assert(offsetof(larder_superblock, hash_seed) == 56, "format");
_Static_assert(offsetof(larder_superblock, fixed_check) == 72, "format");
_Static_assert(offsetof(larder_superblock, bucket_count) == 80, "format");
_Static_assert(offsetof(larder_superblock, flush_sequence) == 160, "format");
_Static_assert(sizeof(larder_superblock) == 192, "format");
_Static_assert(offsetof(larder_slab, sequence) == 8, "format");
_Static_assert(offsetof(larder_slab, cas_base) == 32, "format");
_Static_assert(offsetof(larder_slab, limbo_epoch) == 56, "format");
_Static_assert(offsetof(larder_bucket, tags) == 4, "format");
_Static_assert(offsetof(larder_bucket, blocks) == 16, "format");
