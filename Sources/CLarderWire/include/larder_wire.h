// Searches in bytes that Swift has no words for: one comparison for sixteen bytes at a time.

#ifndef LARDER_WIRE_H
#define LARDER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// Copies a key: most have 8 to 32 bytes, for which a call costs more than the copying. Touches nothing else.
static inline void larder_copy_key(void *target, const void *key, size_t length) {
    const uint8_t *from = (const uint8_t *)key;
    uint8_t *to = (uint8_t *)target;
    if (length >= 8 && length <= 16) {
        // First and last eight bytes, of which some may be the same.
        uint64_t first, last;
        __builtin_memcpy(&first, from, 8);
        __builtin_memcpy(&last, from + length - 8, 8);
        __builtin_memcpy(to, &first, 8);
        __builtin_memcpy(to + length - 8, &last, 8);
    } else if (length > 16 && length <= 32) {
        uint64_t first[2], last[2];
        __builtin_memcpy(first, from, 16);
        __builtin_memcpy(last, from + length - 16, 16);
        __builtin_memcpy(to, first, 16);
        __builtin_memcpy(to + length - 16, last, 16);
    } else {
        __builtin_memcpy(to, from, length);
    }
}

/// The offset of the first space or newline of bytes[0..<length], or `length`. Reads nothing else.
static inline size_t larder_find_break(const uint8_t *bytes, size_t length) {
    size_t place = 0;
#if defined(__SSE2__)
    const __m128i space = _mm_set1_epi8(' '), newline = _mm_set1_epi8('\n');
    if (length >= 16) {
        // Most words end here.
        __m128i part = _mm_loadu_si128((const __m128i *)(const void *)bytes);
        __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(part, space), _mm_cmpeq_epi8(part, newline));
        int mask = _mm_movemask_epi8(hits);
        if (mask != 0) return (size_t)__builtin_ctz((unsigned)mask);
        for (place = 16; place + 16 <= length; place += 16) {
            part = _mm_loadu_si128((const __m128i *)(const void *)(bytes + place));
            hits = _mm_or_si128(_mm_cmpeq_epi8(part, space), _mm_cmpeq_epi8(part, newline));
            mask = _mm_movemask_epi8(hits);
            if (mask != 0) return place + (size_t)__builtin_ctz((unsigned)mask);
        }
        if (place == length) return length;
        // The last sixteen bytes once more: those that were looked at hold none.
        size_t last = length - 16;
        part = _mm_loadu_si128((const __m128i *)(const void *)(bytes + last));
        hits = _mm_or_si128(_mm_cmpeq_epi8(part, space), _mm_cmpeq_epi8(part, newline));
        mask = _mm_movemask_epi8(hits);
        return mask != 0 ? last + (size_t)__builtin_ctz((unsigned)mask) : length;
    }
    if (length >= 8) {
        // Twice eight bytes, of which some may be the same.
        __m128i part = _mm_unpacklo_epi64(
            _mm_loadl_epi64((const __m128i *)(const void *)bytes),
            _mm_loadl_epi64((const __m128i *)(const void *)(bytes + length - 8)));
        __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(part, space), _mm_cmpeq_epi8(part, newline));
        unsigned mask = (unsigned)_mm_movemask_epi8(hits);
        if ((mask & 0xff) != 0) return (size_t)__builtin_ctz(mask);
        return mask != 0 ? length - 16 + (size_t)__builtin_ctz(mask) : length;
    }
#endif
    for (; place < length; place++) {
        if (bytes[place] == ' ' || bytes[place] == '\n') return place;
    }
    return length;
}

#endif
