/*
 * A storage in C: segments come out of one array, as in a program that may use no more memory than it was given at the start.
 * A map of which parts are taken is all it needs. It can align, and says so, so nothing is lost to alignment.
 *
 *     cc arena_storage.c $(pkg-config --cflags --libs emalloc)
 *
 * By its name it serves a program that knows nothing of it: EMALLOC_STORAGE=arena.
 */
#include <emalloc.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

enum { PART = 64 << 10, PARTS = 64 };

static struct {
    emalloc_storage storage;
    unsigned char taken[PARTS];
    int most; /* the most parts that were taken at once */
} arena;

static alignas(1 << 20) char memory[PARTS * PART];

static emalloc_storage *arena_init(void *params)
{
    (void)params;
    return &arena.storage;
}

static void arena_dtor(emalloc_storage *storage)
{
    (void)storage;
}

static int parts_of(size_t size)
{
    return (int)((size + PART - 1) / PART);
}

static emalloc_segment *arena_alloc_aligned(emalloc_storage *storage, size_t size, size_t alignment)
{
    int first, parts = parts_of(size), step = alignment > PART ? (int)(alignment / PART) : 1, taken = 0;
    (void)storage;
    if (size > sizeof memory || alignment > 1 << 20)
        return NULL;
    for (first = 0; first + parts <= PARTS; first += step) {
        if (memchr(arena.taken + first, 1, (size_t)parts) != NULL)
            continue;
        memset(arena.taken + first, 1, (size_t)parts);
        for (int i = 0; i < PARTS; i++)
            taken += arena.taken[i];
        if (taken > arena.most)
            arena.most = taken;
        return (emalloc_segment *)(void *)(memory + (size_t)first * PART);
    }
    return NULL;
}

static emalloc_segment *arena_alloc(emalloc_storage *storage, size_t size)
{
    return arena_alloc_aligned(storage, size, 1);
}

static void arena_free(emalloc_storage *storage, emalloc_segment *segment)
{
    (void)storage;
    memset(arena.taken + ((char *)(void *)segment - memory) / PART, 0, (size_t)parts_of(segment->size));
}

static const emalloc_storage_handlers handlers = {
    "arena", arena_init, arena_dtor, NULL, arena_alloc, NULL, arena_free, PART, arena_alloc_aligned,
};

int main(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap;
    size_t blocks = 0;

    emalloc_storage_register(&handlers, NULL);
    options.storage_name = "arena";
    heap = emalloc_heap_start(&options, NULL);
    while (emalloc_heap_alloc_recoverable(heap, 1000) != NULL)
        blocks++;
    printf("blocks of 1000 bytes fill %zu %% of %zu KB\n", blocks * 1000 * 100 / sizeof memory, sizeof memory >> 10);
    emalloc_heap_shutdown(heap, 1, 1);

    heap = emalloc_heap_start(&options, NULL);
    printf("then %s\n", emalloc_heap_alloc_recoverable(heap, 3 << 20) ? "one of 3 MB" : "none of 3 MB");
    emalloc_heap_shutdown(heap, 1, 1);
    printf("%d of %d parts were taken at once, %s now\n", arena.most, PARTS,
           memchr(arena.taken, 1, PARTS) ? "some" : "none");
    return 0;
}
