/* Who decides where the original ends the process; and custom handlers. */
#include <emalloc.h>
#include <setjmp.h>
#include <string.h>

#include "check.h"

static emalloc_heap *limited(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    options.limit = 1 << 20;
    return emalloc_heap_start(&options, NULL);
}

struct asked {
    int times, answer;
    emalloc_heap *heap;
    emalloc_error last;
};

static int ask(void *data, emalloc_heap *heap, const emalloc_error *error)
{
    struct asked *asked = data;
    asked->times++;
    asked->heap = heap;
    asked->last = *error;
    if (asked->answer == EMALLOC_RETRY)
        emalloc_heap_set_limit(heap, EMALLOC_UNLIMITED);
    return asked->answer;
}

static void the_handler_goes_on(void)
{
    struct asked asked = {0, EMALLOC_CONTINUE, NULL, {0}}, process = {0, EMALLOC_CONTINUE, NULL, {0}};
    emalloc_heap *heap = limited();
    void *block;
    CHECK(emalloc_set_fatal_handler(ask, &process) == NULL);
    CHECK(emalloc_heap_set_fatal_handler(heap, ask, &asked) == NULL);
    CHECK(emalloc_heap_alloc(heap, 2 << 20) == NULL);
    CHECK(asked.times == 1 && process.times == 0 && asked.heap == heap);
    CHECK(asked.last.size == sizeof(emalloc_error) && asked.last.kind == EMALLOC_ERROR_LIMIT);
    CHECK(asked.last.limit == 1 << 20 && asked.last.requested == 2 << 20 && asked.last.held == 256 << 10);
    CHECK(asked.last.site.line == __LINE__ - 4 && strcmp(asked.last.site.file, __FILE__) == 0);
    CHECK(asked.last.site.orig_file == NULL);
    CHECK(strcmp(asked.last.text, "Allowed memory size of 1048576 bytes exhausted (tried to allocate 2097152 bytes)") == 0);

    /* A wrong pointer is given back: nothing happens. */
    block = emalloc_heap_alloc(heap, 40);
    emalloc_heap_free(heap, block);
    emalloc_heap_free(heap, block);
    CHECK(asked.times == 2 && asked.last.kind == EMALLOC_ERROR_POINTER && asked.last.address == block);
    CHECK(emalloc_heap_check(heap, NULL) == 0);

    /* Without its own, a heap asks the process's. */
    CHECK(emalloc_heap_set_fatal_handler(heap, NULL, NULL) == ask);
    CHECK(emalloc_heap_alloc(heap, 2 << 20) == NULL);
    CHECK(asked.times == 2 && process.times == 1 && process.heap == heap);
    CHECK(emalloc_set_fatal_handler(NULL, NULL) == ask);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void the_handler_makes_room(void)
{
    struct asked asked = {0, EMALLOC_RETRY, NULL, {0}};
    emalloc_heap *heap = limited();
    char *block;
    emalloc_heap_set_fatal_handler(heap, ask, &asked);
    block = emalloc_heap_calloc(heap, 2, 1 << 20);
    CHECK(block != NULL && block[(2 << 20) - 1] == 0 && asked.times == 1);
    emalloc_heap_set_limit(heap, 3 << 20);
    block = emalloc_heap_realloc(heap, block, 4 << 20);
    CHECK(block != NULL && asked.times == 2);
    emalloc_heap_shutdown(heap, 1, 0);
}

static jmp_buf request;

static int jump(void *data, emalloc_heap *heap, const emalloc_error *error)
{
    /* The reserve is open: there is memory to make an answer of. */
    char *answer = emalloc_heap_strdup(heap, error->text);
    CHECK(strlen(answer) > 10);
    longjmp(*(jmp_buf *)data, 1);
}

static void the_handler_jumps_out(void)
{
    emalloc_heap *heap = limited();
    volatile int round;
    emalloc_heap_set_fatal_handler(heap, jump, &request);
    emalloc_heap_set_current(heap);
    for (round = 0; round < 300; round++) {
        void *volatile list = NULL;
        if (setjmp(request) == 0) {
            for (;;) {
                /* Small, large and huge blocks, new ones and resized. */
                void **block = emalloc(round % 3 == 0 ? 100 : round % 3 == 1 ? 10000 : 400000);
                *block = list;
                list = round % 2 ? block : erealloc(block, zend_mem_block_size(block) + 100);
            }
        }
        CHECK(emalloc_heap_check(heap, NULL) == 0);
        CHECK(emalloc_heap_usage(heap, 1) <= 1 << 20);
        emalloc_shutdown(0, 1);
        CHECK(emalloc_heap_usage(heap, 0) == 0);
    }
    emalloc_shutdown(1, 1);
}

struct counts {
    int alloc, free, realloc, shutdown, collect;
    unsigned line;
};

static void *counted_alloc(void *data, emalloc_heap *heap, size_t size, const emalloc_site *site)
{
    ((struct counts *)data)->alloc++;
    ((struct counts *)data)->line = site->line;
    return emalloc_heap_alloc(heap, size);
}

static void counted_free(void *data, emalloc_heap *heap, void *block, const emalloc_site *site)
{
    ((struct counts *)data)->free++;
    ((struct counts *)data)->line = site->line;
    emalloc_heap_free(heap, block);
}

static void *counted_realloc(void *data, emalloc_heap *heap, void *block, size_t size, const emalloc_site *site)
{
    ((struct counts *)data)->realloc++;
    ((struct counts *)data)->line = site->line;
    return emalloc_heap_realloc(heap, block, size);
}

static void counted_shutdown(void *data, emalloc_heap *heap, int full, int silent)
{
    (void)heap;
    ((struct counts *)data)->shutdown += 1 + full * 10 + silent * 100;
}

static size_t counted_collect(void *data, emalloc_heap *heap)
{
    (void)heap;
    ((struct counts *)data)->collect++;
    return 5;
}

static void custom_handlers_stand_in_the_place_of_a_heap(void)
{
    struct counts counts = {0, 0, 0, 0, 0, 0};
    emalloc_handlers handlers = {sizeof handlers, &counts, counted_alloc, counted_free, counted_realloc, NULL,
                                 counted_collect, counted_shutdown}, got = {sizeof got, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
    emalloc_heap *heap = emalloc_heap_current();
    unsigned char *block;
    char *text;
    CHECK(emalloc_heap_get_handlers(heap, &got) == 0);
    CHECK(emalloc_heap_set_handlers(heap, &handlers) == 0);
    CHECK(emalloc_heap_get_handlers(heap, &got) == 1 && got.alloc == counted_alloc && got.data == &counts);
    block = emalloc(100);
    CHECK(counts.alloc == 1 && counts.line == __LINE__ - 1);
    block = erealloc(block, 200);
    CHECK(counts.realloc == 1 && counts.line == __LINE__ - 1);
    CHECK(zend_mem_block_size(block) == 0);
    efree(block);
    CHECK(counts.free == 1 && counts.line == __LINE__ - 1);
    efree(NULL);
    CHECK(counts.free == 1);
    block = ecalloc(10, 10);
    text = estrdup("text");
    CHECK(block[99] == 0 && strcmp(text, "text") == 0 && counts.alloc == 3);
    efree(block);
    efree_size(text, 5);
    CHECK(counts.free == 3);
    CHECK(emalloc_heap_collect(heap) == 5 && counts.collect == 1);
    emalloc_shutdown(0, 1);
    CHECK(counts.shutdown == 101);
    /* Another heap is not concerned, nor is this one afterwards. */
    emalloc_heap_set_current(limited());
    efree(emalloc(10));
    emalloc_shutdown(1, 0);
    CHECK(emalloc_heap_set_handlers(heap, NULL) == 0);
    efree(emalloc(10));
    CHECK(counts.alloc == 3 && counts.free == 3);
    handlers.free = NULL;
    CHECK(emalloc_heap_set_handlers(heap, &handlers) == -1);
    CHECK(emalloc_heap_get_handlers(heap, &got) == 0);
}

struct seen {
    int allocated, freed, resized, reset, collected;
    size_t size, usable;
    unsigned line, orig_line;
    void *block;
};

static void saw_allocated(void *data, emalloc_heap *heap, void *block, size_t size, size_t usable, const emalloc_site *site)
{
    struct seen *seen = data;
    seen->allocated++;
    seen->block = block;
    seen->size = size;
    seen->usable = usable;
    seen->line = site->line;
    seen->orig_line = site->orig_line;
    CHECK(usable == emalloc_heap_block_size(heap, block) && strcmp(site->file, __FILE__) == 0);
    emalloc_heap_free(heap, emalloc_heap_alloc(heap, 5000)); /* of which nobody is told */
}

static void saw_freed(void *data, emalloc_heap *heap, void *block, size_t usable, const emalloc_site *site)
{
    struct seen *seen = data;
    (void)heap, (void)site;
    seen->freed++;
    seen->block = block;
    seen->usable = usable;
}

static void saw_resized(void *data, emalloc_heap *heap, void *old_block, size_t old_usable, void *block, size_t size,
                        size_t usable, const emalloc_site *site)
{
    struct seen *seen = data;
    (void)heap;
    CHECK(old_block == seen->block && old_usable == seen->usable && site->line > seen->line);
    seen->resized++;
    seen->block = block;
    seen->size = size;
    seen->usable = usable;
}

static void saw_reset(void *data, emalloc_heap *heap)
{
    CHECK(emalloc_heap_usage(heap, 0) == 0);
    ((struct seen *)data)->reset++;
}

static void saw_collected(void *data, emalloc_heap *heap, size_t bytes)
{
    (void)heap, (void)bytes;
    ((struct seen *)data)->collected++;
}

static void *relayed(size_t size EMALLOC_SITE_DC)
{
    return emalloc_rel(size);
}

static void observers_are_told_and_change_nothing(void)
{
    struct seen a = {0, 0, 0, 0, 0, 0, 0, 0, 0, NULL}, b = a;
    emalloc_observer first = {sizeof first, &a, saw_allocated, saw_freed, saw_resized, saw_reset, saw_collected, {NULL}},
                     second = {sizeof second, &b, saw_allocated, NULL, NULL, NULL, NULL, {NULL}};
    emalloc_heap *heap = emalloc_heap_start(NULL, NULL);
    size_t before;
    void *block;
    emalloc_heap_set_current(heap);
    efree(emalloc(100));
    before = emalloc_heap_usage(heap, 0);
    emalloc_heap_add_observer(heap, &first);
    emalloc_heap_add_observer(heap, &second);
    block = emalloc(100);
    CHECK(a.allocated == 1 && b.allocated == 1 && a.block == block && a.size == 100 && a.usable == 104);
    CHECK(a.line == __LINE__ - 2 && a.orig_line == 0);
    block = erealloc(block, 1000);
    CHECK(a.resized == 1 && a.block == block && a.size == 1000);
    efree(block);
    CHECK(a.freed == 1 && a.block == block && a.usable >= 1000 && a.allocated == 1);
    CHECK(emalloc_heap_remove_observer(heap, &second) == 1 && emalloc_heap_remove_observer(heap, &second) == 0);
    /* Added once more it is told once, all the same. */
    emalloc_heap_add_observer(heap, &first);
    block = relayed(10 EMALLOC_SITE_CC);
    CHECK(a.allocated == 2 && b.allocated == 1 && a.line == __LINE__ - 1 && a.orig_line > 0 && a.orig_line < a.line);
    efree(block);
    CHECK(emalloc_heap_usage(heap, 0) == before);
    emalloc_heap_collect(heap);
    emalloc_shutdown(0, 0);
    CHECK(a.collected == 1 && a.reset == 1);
    emalloc_shutdown(1, 0);
}

int main(void)
{
    the_handler_goes_on();
    the_handler_makes_room();
    the_handler_jumps_out();
    custom_handlers_stand_in_the_place_of_a_heap();
    observers_are_told_and_change_nothing();
    return 0;
}
