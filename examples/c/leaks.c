/*
 * Who forgot, and who wrote too far: debug mode for one heap, with what it finds told to the program.
 *
 *     cc leaks.c $(pkg-config --cflags --libs emalloc)
 *
 * Any program can be looked at as it is, without a line of this: EMALLOC_DEBUG=1 ./program
 */
#include <emalloc.h>
#include <stdio.h>

static int found(void *data, emalloc_heap *heap, const emalloc_report *report)
{
    (void)data, (void)heap;
    printf("line %u: the block of %zu bytes from line %u was overrun by %zu\n", report->site.line, report->block_size,
           report->allocated.line, report->distance);
    return 1; /* said what there is to say */
}

static void forgotten(void *data, emalloc_heap *heap, const emalloc_leak *leak)
{
    (void)data, (void)heap;
    printf("line %u: %zu forgotten, %zu bytes\n", leak->site.line, leak->count, leak->bytes);
}

/* A helper is not to blame: it relays whose block this is. */
static int *numbers_at(size_t count EMALLOC_SITE_DC)
{
    return safe_emalloc_rel(count, sizeof(int), 0);
}
#define numbers(count) numbers_at((count) EMALLOC_SITE_CC)

int main(void)
{
    emalloc_debug debug = EMALLOC_DEBUG_INIT;
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap;
    int *volatile list;
    int i;

    options.debug = &debug;
    heap = emalloc_heap_start(&options, NULL);
    emalloc_heap_set_report_handler(heap, found, NULL);
    emalloc_heap_set_leak_handler(heap, forgotten, NULL);
    emalloc_heap_set_current(heap);

    list = numbers(10);
    for (i = 0; i <= 10; i++) /* one too many */
        list[i] = i;
    efree(list);

    for (i = 0; i < 3; i++)
        list = numbers(100); /* the first two are lost */
    efree(list);

    emalloc_shutdown(1, 0);
    return 0;
}
