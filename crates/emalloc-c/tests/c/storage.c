/* A storage written in C, in each of the ways it can be, under a workload; and by its name, from the environment. */
#include <emalloc.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

/* Segments of the system's malloc, each with its size noted behind it, so that a wrong one is seen. */
struct book {
    emalloc_storage storage;
    size_t alignment, held;
    int segments, compacts, resizes, refuse_from;
};

static struct book book;
static int opened;
static emalloc_storage_handlers handlers;

static emalloc_storage *book_init(void *params)
{
    if (params == NULL)
        return NULL;
    opened++;
    book.storage.handlers = &handlers;
    book.storage.data = params;
    return &book.storage;
}

static void book_dtor(emalloc_storage *storage)
{
    CHECK(storage == &book.storage && book.segments == 0 && book.held == 0);
    opened--;
}

static void book_compact(emalloc_storage *storage)
{
    CHECK(storage == &book.storage);
    book.compacts++;
}

static emalloc_segment *book_alloc_aligned(emalloc_storage *storage, size_t size, size_t alignment)
{
    char *segment;
    CHECK(storage == &book.storage && storage->data == &book && size % 4096 == 0);
    if (book.refuse_from > 0 && book.segments >= book.refuse_from)
        return NULL;
    /* With room for the note, and a multiple of the alignment, as C11 wants it. */
    segment = aligned_alloc(alignment, (size + sizeof size + alignment - 1) / alignment * alignment);
    CHECK(segment != NULL);
    memset(segment, 0xa5, size);
    memcpy(segment + size, &size, sizeof size);
    book.segments++;
    book.held += size;
    return (emalloc_segment *)(void *)segment;
}

static emalloc_segment *book_alloc(emalloc_storage *storage, size_t size)
{
    return book_alloc_aligned(storage, size, book.alignment);
}

static void book_free(emalloc_storage *storage, emalloc_segment *segment)
{
    size_t noted;
    CHECK(storage == &book.storage && segment->next_segment == NULL);
    memcpy(&noted, (char *)segment + segment->size, sizeof noted);
    CHECK(noted == segment->size);
    book.segments--;
    book.held -= noted;
    free(segment);
}

static emalloc_segment *book_realloc(emalloc_storage *storage, emalloc_segment *segment, size_t size)
{
    size_t old = segment->size;
    emalloc_segment *moved;
    if (size > 64 << 20)
        return NULL;
    book.resizes++;
    moved = book_alloc(storage, size);
    memcpy(moved, segment, old < size ? old : size);
    book_free(storage, segment);
    return moved;
}

static void work(emalloc_heap *heap)
{
    unsigned char *text = NULL;
    size_t size = 0, i;
    void *blocks[200];
    for (i = 0; i < 200; i++)
        blocks[i] = emalloc_heap_alloc(heap, i * 97);
    /* A huge block that grows and shrinks, with its content. */
    for (size = 300000; size < 20000000; size = size * 3 / 2) {
        text = emalloc_heap_realloc(heap, text, size);
        memset(text + size / 2, (int)(size % 251), size - size / 2);
        for (i = size / 2; i < size; i += 1000)
            CHECK(text[i] == size % 251);
    }
    i = text[400000];
    text = emalloc_heap_realloc(heap, text, 500000);
    CHECK(text[400000] == i);
    CHECK(emalloc_heap_check(heap, NULL) == 0);
    emalloc_heap_free(heap, text);
    for (i = 0; i < 200; i++)
        emalloc_heap_free(heap, blocks[i]);
    CHECK(emalloc_heap_check(heap, NULL) == 0);
}

static void a_heap_over_it(size_t alignment, int aligned, int resizes)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap;
    emalloc_error error;
    char name[10];
    memset(&book, 0, sizeof book);
    /* Without a promise, addresses that are as odd as can be. */
    book.alignment = alignment ? alignment : 64;
    handlers.alignment = alignment;
    handlers._alloc_aligned = aligned ? book_alloc_aligned : NULL;
    handlers._realloc = resizes ? book_realloc : NULL;
    options.storage = &handlers;
    options.compact = 1 << 20;
    CHECK(emalloc_heap_start(&options, &error) == NULL && error.kind == EMALLOC_ERROR_STORAGE);
    CHECK(strcmp(error.text, "Cannot initialize zend_mm storage [book]") == 0);
    options.storage_params = &book;
    heap = emalloc_heap_start(&options, NULL);
    CHECK(opened == 1);
    CHECK(emalloc_heap_storage_name(heap, name, sizeof name) == 4 && strcmp(name, "book") == 0);
    work(heap);
    CHECK(emalloc_heap_usage(heap, 0) == 0);
    emalloc_heap_shutdown(heap, 0, 0);
    CHECK(book.compacts == 1);
    CHECK(book.held >= emalloc_heap_usage(heap, 1));
    work(heap);
    CHECK((book.resizes > 0) == (resizes && (alignment || !aligned)));
    /* It refuses: the heap says so and is whole. */
    book.refuse_from = 1;
    CHECK(emalloc_heap_alloc_recoverable(heap, 3 << 20) == NULL);
    CHECK(emalloc_heap_check(heap, NULL) == 0);
    emalloc_heap_shutdown(heap, 1, 0);
    CHECK(opened == 0);
}

int main(int argc, char **argv)
{
    static const emalloc_storage_handlers twin = {"malloc", book_init, NULL, NULL, book_alloc, NULL, book_free, 0, NULL};
    /* The original's seven, in its order. */
    emalloc_storage_handlers seven = {"book", book_init, book_dtor, book_compact, book_alloc, book_realloc, book_free,
                                      0, NULL};
    handlers = seven;
    if (argc > 1) {
        /* "book" is what the environment asks for. */
        char name[10];
        book.alignment = 64;
        CHECK(emalloc_storage_register(NULL, &book) == -1);
        CHECK(emalloc_storage_register(&twin, &book) == -1);
        CHECK(emalloc_storage_register(&handlers, strcmp(argv[1], "broken") == 0 ? NULL : &book) == 0);
        CHECK(emalloc_storage_register(&handlers, &book) == -1);
        efree(emalloc(100));
        CHECK(emalloc_heap_storage_name(emalloc_heap_current(), name, sizeof name) == 4 && strcmp(name, "book") == 0);
        work(emalloc_heap_current());
        CHECK(opened == 1);
        emalloc_shutdown(1, 0);
        CHECK(opened == 0);
        return 0;
    }
    a_heap_over_it(0, 0, 0);
    a_heap_over_it(0, 0, 1);
    a_heap_over_it(0, 1, 0);
    a_heap_over_it(0, 1, 1);
    a_heap_over_it(2 << 20, 0, 0);
    a_heap_over_it(2 << 20, 0, 1);
    return 0;
}
