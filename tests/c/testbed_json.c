/* Memory and JSON for the testbed: scratch memory, growing texts, and slices of JSON that the engine has validated already, so that
 * the walks here only have to find where a value ends. Nothing is decoded into trees. */
#include "testbed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    max_align_t bytes[];
};

void *xrealloc(void *old, size_t len)
{
    void *p = realloc(old, len ? len : 1);
    if (!p) {
        fputs("testbed: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

void *arena_alloc(struct arena *arena, size_t len)
{
    size_t start = (arena->used + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (start <= ARENA_BYTES && len <= ARENA_BYTES - start) {
        arena->used = start + len;
        return arena->bytes + start;
    }
    struct arena_block *block = xrealloc(NULL, sizeof *block + len);
    block->next = arena->blocks;
    arena->blocks = block;
    return block->bytes;
}

void arena_reset(struct arena *arena)
{
    arena->used = 0;
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

/* ---- growing texts -------------------------------------------------------------------------------------------------------- */

static char *buf_reserve(struct buf *buf, size_t more)
{
    if (buf->cap - buf->len < more) {
        buf->cap = (buf->len + more) * 2;
        buf->ptr = xrealloc(buf->ptr, buf->cap);
    }
    return buf->ptr + buf->len;
}

void buf_add(struct buf *buf, const char *ptr, size_t len)
{
    char *to = buf_reserve(buf, len + 1);
    if (len)
        memcpy(to, ptr, len);
    buf->len += len;
}

void buf_text(struct buf *buf, text t)
{
    buf_add(buf, t.ptr, t.len);
}

void buf_str(struct buf *buf, const char *zero_terminated)
{
    buf_add(buf, zero_terminated, strlen(zero_terminated));
}

/* Appends `ptr` as a JSON string. */
void buf_quote(struct buf *buf, const char *ptr, size_t len)
{
    /* The longest escape of one byte is \u00XX. */
    size_t most = len * 6 + 2;
    int64_t n = sockeye_json_quote(ptr, len, buf_reserve(buf, most + 1), most + 1);
    if (n < 0 || (uint64_t)n > most)
        buf_str(buf, "\"\"");
    else
        buf->len += (size_t)n;
}

void buf_number(struct buf *buf, uint64_t n)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    buf_str(buf, digits);
}

void buf_free(struct buf *buf)
{
    free(buf->ptr);
    *buf = (struct buf){0};
}

static const char *find(const char *at, const char *end, const char *needle, size_t len)
{
    while (at < end && (size_t)(end - at) >= len) {
        const char *hit = memchr(at, needle[0], (size_t)(end - at) - len + 1);
        if (!hit || memcmp(hit, needle, len) == 0)
            return hit;
        at = hit + 1;
    }
    return NULL;
}

/* Appends `json` with `offset` added to the number of each placeholder, for attachments that follow `offset` others. The official
 * spelling cannot occur inside a JSON string, where its quotes would be escaped. */
void buf_renumbered(struct buf *buf, text json, size_t offset)
{
    static const char placeholder[] = "{\"_placeholder\":true,\"num\":";
    const char *at = json.ptr, *end = json.ptr + json.len, *hit;
    while (offset && (hit = find(at, end, placeholder, sizeof placeholder - 1)) != NULL) {
        const char *digits = hit + sizeof placeholder - 1;
        uint64_t num = 0;
        buf_add(buf, at, (size_t)(digits - at));
        for (at = digits; at < end && *at >= '0' && *at <= '9'; at++)
            num = num * 10 + (uint64_t)(*at - '0');
        buf_number(buf, num + offset);
    }
    buf_add(buf, at, (size_t)(end - at));
}

/* Compares JSON strings by what stands between their quotes; escapes are compared as written. */
static int by_string(const void *a, const void *b)
{
    const text *x = a, *y = b;
    size_t shorter = (x->len < y->len ? x->len : y->len) - 1;
    int order = memcmp(x->ptr, y->ptr, shorter);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Appends an array of JSON strings, sorted. */
void buf_sorted(struct buf *buf, text json_strings)
{
    size_t count = 0, cap = 0;
    text *strings = NULL, value;
    struct args args = args_of(json_strings);
    while (args_next(&args, &value)) {
        if (count == cap)
            strings = xrealloc(strings, (cap = cap * 2 + 8) * sizeof *strings);
        strings[count++] = value;
    }
    if (count)
        qsort(strings, count, sizeof *strings, by_string);
    buf_str(buf, "[");
    for (size_t i = 0; i < count; i++) {
        buf_str(buf, i ? "," : "");
        buf_text(buf, strings[i]);
    }
    buf_str(buf, "]");
    free(strings);
}

/* ---- owned attachments -------------------------------------------------------------------------------------------------------- */

void blobs_add(struct blobs *blobs, const sockeye_bytes *items, size_t count)
{
    if (count)
        blobs->items = xrealloc(blobs->items, (blobs->count + count) * sizeof *blobs->items);
    for (size_t i = 0; i < count; i++) {
        void *copy = xrealloc(NULL, items[i].len);
        if (items[i].len)
            memcpy(copy, items[i].ptr, items[i].len);
        blobs->items[blobs->count++] = (sockeye_bytes){copy, items[i].len};
    }
}

void blobs_free(struct blobs *blobs)
{
    for (size_t i = 0; i < blobs->count; i++)
        free((void *)blobs->items[i].ptr);
    free(blobs->items);
    *blobs = (struct blobs){0};
}

/* ---- slices of JSON ------------------------------------------------------------------------------------------------------------ */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

/* Skips to a quote or backslash, or near the end, eight bytes at a time: lists of sockets have megabytes. */
static const char *skip_plain(const char *at, const char *end)
{
    static const uint64_t ones = UINT64_MAX / 255;
    for (uint64_t word, hits; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
        hits = (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & ones << 7;
        if (!hits)
            continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        at += __builtin_ctzll(hits) / 8;
#endif
        return at;
    }
    return at;
}

static const char *skip_string(const char *at, const char *end)
{
    for (at = skip_plain(at + 1, end); at < end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '"')
            return at + 1;
    }
    return end;
}

static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            if (!depth)
                return at;
            continue;
        }
        if (*at == '[' || *at == '{')
            depth++;
        else if (depth && (*at == ']' || *at == '}') && --depth == 0)
            return at + 1;
        else if (!depth && (*at == ',' || *at == ']' || *at == '}' || (unsigned char)*at <= ' '))
            return at;
        at++;
    }
    return end;
}

struct args args_of(text array)
{
    const char *end = array.ptr ? array.ptr + array.len : NULL;
    const char *at = array.ptr ? skip_space(array.ptr, end) : NULL;
    if (at == end || *at != '[')
        return (struct args){end, end};
    return (struct args){skip_space(at + 1, end), end};
}

bool args_next(struct args *args, text *value)
{
    if (args->at == args->end || *args->at == ']')
        return false;
    const char *start = args->at, *at = skip_value(start, args->end);
    *value = (text){start, (size_t)(at - start)};
    at = skip_space(at, args->end);
    args->at = at < args->end && *at == ',' ? skip_space(at + 1, args->end) : at;
    return true;
}

/* The elements that were not walked over yet, as an array. */
text args_rest(struct args args, struct arena *arena)
{
    size_t len = (size_t)(args.end - args.at);
    if (len <= 1)
        return (text){"[]", 2};
    char *copy = arena_alloc(arena, len + 1);
    copy[0] = '[';
    memcpy(copy + 1, args.at, len);
    return (text){copy, len + 1};
}

text json_at(text json, const char *pointer)
{
    text found = {NULL, 0};
    if (json.ptr && sockeye_json_get(json.ptr, json.len, pointer, strlen(pointer), &found.ptr, &found.len) != SOCKEYE_OK)
        found = (text){NULL, 0};
    return found;
}

text json_or(text value, const char *otherwise)
{
    return value.ptr ? value : (text){otherwise, strlen(otherwise)};
}

bool json_is(text json, const char *literal)
{
    return json.ptr && json.len == strlen(literal) && memcmp(json.ptr, literal, json.len) == 0;
}

bool json_is_string(text json)
{
    return json.ptr && json.len >= 2 && json.ptr[0] == '"';
}

/* A JSON number as whole number of at most `max`; anything else is `otherwise`. */
uint32_t json_number(text json, uint32_t otherwise, uint32_t max)
{
    char digits[32] = {0}, *end;
    if (!json.ptr || json.len == 0 || json.len >= sizeof digits)
        return otherwise;
    memcpy(digits, json.ptr, json.len);
    double n = strtod(digits, &end);
    if (*end || !(n >= 0))
        return otherwise;
    return n > max ? max : (uint32_t)n;
}

/* What a JSON string means; false if `json` is not one. Without escapes it is the slice itself. */
bool json_decode(text json, struct arena *arena, text *out)
{
    if (!json_is_string(json))
        return false;
    if (!memchr(json.ptr, '\\', json.len)) {
        *out = (text){json.ptr + 1, json.len - 2};
        return true;
    }
    char *decoded = arena_alloc(arena, json.len);
    int64_t n = sockeye_json_string(json.ptr, json.len, decoded, json.len);
    *out = (text){decoded, (size_t)n};
    return n >= 0 && (uint64_t)n <= json.len;
}

/* The strings of an array, decoded; other elements are left out. */
sockeye_bytes *json_rooms(text array, struct arena *arena, size_t *count)
{
    size_t most = 0;
    text value, room;
    for (struct args args = args_of(array); args_next(&args, &value);)
        most++;
    sockeye_bytes *rooms = arena_alloc(arena, most * sizeof *rooms);
    *count = 0;
    for (struct args args = args_of(array); args_next(&args, &value);)
        if (json_decode(value, arena, &room))
            rooms[(*count)++] = (sockeye_bytes){room.ptr, room.len};
    return rooms;
}
