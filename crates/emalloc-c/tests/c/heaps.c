/* Heaps as objects. */
#include <emalloc.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

static emalloc_heap *start(size_t limit, size_t segment_size)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    options.limit = limit;
    options.segment_size = segment_size;
    return emalloc_heap_start(&options, NULL);
}

static void current_is_per_thread_and_answers_the_one_before(void)
{
    emalloc_heap *own = emalloc_heap_current(), *a = start(0, 0), *b = start(0, 1 << 20);
    void *block;
    CHECK(emalloc_heap_set_current(a) == NULL);
    CHECK(emalloc_heap_current() == a);
    CHECK(emalloc_heap_set_current(b) == a);
    block = emalloc(100);
    CHECK(emalloc_heap_owns(b, block) && !emalloc_heap_owns(a, block) && !emalloc_heap_owns(own, block));
    CHECK(emalloc_heap_usage(b, 0) == 104 && emalloc_heap_usage(b, 1) == 1 << 20);
    CHECK(emalloc_heap_usage(a, 0) == 0 && emalloc_heap_usage(a, 1) == 256 << 10);
    /* The end of the current heap makes the thread's own current. */
    emalloc_heap_shutdown(b, 1, 0);
    CHECK(emalloc_heap_current() == own);
    emalloc_heap_shutdown(a, 1, 1);
    CHECK(emalloc_heap_current() == own);
    /* So does the end of the own one, with a new one. */
    emalloc_shutdown(1, 1);
    block = emalloc(10);
    CHECK(emalloc_heap_usage(emalloc_heap_current(), 0) == 16);
    emalloc_shutdown(0, 1);
    CHECK(emalloc_heap_usage(emalloc_heap_current(), 0) == 0);
}

static void blocks_of_a_given_heap(void)
{
    emalloc_heap *heap = start(0, 0);
    char *text = emalloc_heap_strdup(heap, "hello");
    unsigned char *zeroes = emalloc_heap_calloc(heap, 10, 10);
    CHECK(emalloc_heap_block_size(heap, text) == 8 && strcmp(text, "hello") == 0 && zeroes[99] == 0);
    text = emalloc_heap_realloc(heap, text, 1000);
    text = emalloc_heap_safe_realloc(heap, text, 3, 1000, 5);
    text = emalloc_heap_realloc2(heap, text, 6000, 6);
    text = emalloc_heap_realloc_recoverable(heap, text, 70000);
    text = emalloc_heap_realloc2_recoverable(heap, text, 7000, 6);
    CHECK(strcmp(text, "hello") == 0);
    emalloc_heap_free(heap, text);
    emalloc_heap_free_size(heap, zeroes, 100);
    text = emalloc_heap_strndup(heap, "hello", 2);
    CHECK(strcmp(text, "he") == 0);
    emalloc_heap_free(heap, text);
    text = emalloc_heap_safe_alloc(heap, 2, 3, 4);
    emalloc_heap_free(heap, text);
    text = emalloc_heap_alloc_aligned(heap, 1 << 20, 10);
    CHECK((uintptr_t)text % (1 << 20) == 0);
    emalloc_heap_free(heap, text);
    text = emalloc_heap_alloc(heap, 10);
    emalloc_heap_free(heap, text);
    CHECK(emalloc_heap_usage(heap, 0) == 0);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void limits(void)
{
    emalloc_heap *heap = start(2 << 20, 0);
    void *block;
    CHECK(emalloc_heap_limit(heap) == 2 << 20);
    CHECK(emalloc_heap_alloc_recoverable(heap, 4 << 20) == NULL);
    CHECK(emalloc_heap_set_limit(heap, EMALLOC_UNLIMITED) == 0);
    CHECK(emalloc_heap_limit(heap) == EMALLOC_UNLIMITED);
    block = emalloc_heap_alloc_recoverable(heap, 4 << 20);
    CHECK(block != NULL);
    /* Lower than what is held it cannot go, and the old one stays. */
    CHECK(emalloc_heap_set_limit(heap, 1 << 20) == -1);
    CHECK(emalloc_heap_limit(heap) == EMALLOC_UNLIMITED);
    emalloc_heap_free(heap, block);
    CHECK(emalloc_heap_set_limit(heap, 1 << 20) == 0);
    block = emalloc_heap_alloc(heap, 100);
    CHECK(emalloc_heap_realloc_recoverable(heap, block, 4 << 20) == NULL);
    CHECK(emalloc_heap_block_size(heap, block) == 104);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void soft_limit_passed(void *data, emalloc_heap *heap, size_t limit, size_t held, size_t requested)
{
    CHECK(held <= limit && held + requested > limit && held == emalloc_heap_usage(heap, 1));
    ++*(int *)data;
}

static void a_soft_limit_is_told_once_each_time(void)
{
    emalloc_heap *heap = start(0, 0);
    int told = 0;
    void *block, *other;
    emalloc_heap_set_soft_limit(heap, 1 << 20, soft_limit_passed, &told);
    block = emalloc_heap_alloc(heap, 900000);
    CHECK(told == 1);
    other = emalloc_heap_alloc(heap, 900000);
    CHECK(told == 1);
    emalloc_heap_free(heap, other);
    emalloc_heap_free(heap, block);
    block = emalloc_heap_alloc(heap, 900000);
    CHECK(told == 2);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void figures(void)
{
    emalloc_heap *heap = start(0, 0);
    emalloc_figures all = {0};
    struct {
        size_t size, usage, guard;
    } known = {2 * sizeof(size_t), 0, 77};
    char name[4];
    void *block = emalloc_heap_alloc(heap, 1000), *huge = emalloc_heap_alloc(heap, 1 << 20);
    all.size = sizeof all;
    emalloc_heap_figures(heap, &all);
    CHECK(all.size == sizeof all && all.usage == emalloc_heap_usage(heap, 0) && all.peak == all.usage);
    CHECK(all.real_usage == emalloc_heap_usage(heap, 1) && all.real_peak == emalloc_heap_peak(heap, 1));
    CHECK(all.limit == EMALLOC_UNLIMITED && all.segment_size == 256 << 10);
    CHECK(all.segments == 1 && all.huge_blocks == 1 && all.free_pages >= all.longest_free_run);
    /* A caller of an older version gets what it knows of. */
    emalloc_heap_figures(heap, (emalloc_figures *)(void *)&known);
    CHECK(known.usage == all.usage && known.guard == 77);
    emalloc_heap_free(heap, huge);
    emalloc_heap_free(heap, block);
    CHECK(emalloc_heap_peak(heap, 0) >= (1 << 20) && emalloc_heap_usage(heap, 0) == 0);
    emalloc_heap_reset_peaks(heap);
    CHECK(emalloc_heap_peak(heap, 0) == 0 && emalloc_heap_peak(heap, 1) == emalloc_heap_usage(heap, 1));
    CHECK(emalloc_heap_storage_name(heap, name, sizeof name) == strlen("malloc"));
    CHECK(strcmp(name, "mal") == 0);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void collect_and_trim(void)
{
    emalloc_heap *heap = start(0, 0);
    void *blocks[1000];
    int i;
    for (i = 0; i < 1000; i++)
        blocks[i] = emalloc_heap_alloc(heap, 1000);
    for (i = 0; i < 1000; i++)
        emalloc_heap_free(heap, blocks[i]);
    CHECK(emalloc_heap_collect(heap) > 900000);
    CHECK(emalloc_heap_usage(heap, 1) <= 1 << 20);
    emalloc_heap_trim(heap);
    CHECK(emalloc_heap_usage(heap, 1) == 256 << 10);
    CHECK(emalloc_heap_check(heap, NULL) == 0);
    emalloc_heap_shutdown(heap, 1, 0);
}

struct seen {
    int segments, runs, blocks, stop_after;
    size_t bytes;
};

static int see(void *data, const emalloc_item *item)
{
    struct seen *seen = data;
    CHECK(item->size == sizeof *item && item->address != NULL && item->bytes > 0);
    CHECK((item->holds != NULL) == (item->kind == EMALLOC_ITEM_RUN));
    seen->segments += item->kind == EMALLOC_ITEM_SEGMENT;
    seen->runs += item->kind == EMALLOC_ITEM_RUN;
    if (item->kind == EMALLOC_ITEM_BLOCK) {
        seen->blocks++;
        seen->bytes += item->bytes;
    }
    return seen->stop_after > 0 && --seen->stop_after == 0 ? 42 : 0;
}

static int end_it(void *data, const emalloc_item *item)
{
    emalloc_heap_shutdown(data, item->kind == EMALLOC_ITEM_SEGMENT, 0);
    return 0;
}

static int go_on(void *data, emalloc_heap *heap, const emalloc_error *error)
{
    CHECK(heap != NULL && error->kind == EMALLOC_ERROR_WALKING);
    ++*(int *)data;
    return EMALLOC_CONTINUE;
}

static void a_heap_is_not_shut_down_in_a_walk(void)
{
    emalloc_heap *heap = start(0, 0);
    struct seen seen = {0, 0, 0, 0, 0};
    int refused = 0;
    char *block = emalloc_heap_alloc(heap, 24);
    emalloc_heap_set_fatal_handler(heap, go_on, &refused);
    CHECK(emalloc_heap_walk(heap, end_it, heap) == 0);
    CHECK(emalloc_heap_walk(heap, see, &seen) == 0);
    CHECK(refused == seen.segments + seen.runs + seen.blocks && seen.blocks == 1);
    emalloc_heap_free(heap, block);
    CHECK(emalloc_heap_usage(heap, 0) == 0);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void a_walk_meets_every_block(void)
{
    emalloc_heap *heap = start(0, 0);
    struct seen seen = {0, 0, 0, 0, 0}, some = {0, 0, 0, 3, 0};
    char *a = emalloc_heap_alloc(heap, 24), *b = emalloc_heap_alloc(heap, 5000), *c = emalloc_heap_alloc(heap, 1 << 20);
    CHECK(a && b && c);
    CHECK(emalloc_heap_walk(heap, see, &seen) == 0);
    CHECK(seen.segments == 2 && seen.blocks == 3 && seen.runs >= 4);
    CHECK(seen.bytes == emalloc_heap_usage(heap, 0));
    CHECK(emalloc_heap_walk(heap, see, &some) == 42);
    CHECK(some.segments + some.runs + some.blocks == 3);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void options_that_cannot_be(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap_options forgotten = {0};
    emalloc_debug debug = {0};
    emalloc_error error;
    forgotten.limit = 1 << 20;
    CHECK(emalloc_heap_start(&forgotten, &error) == NULL && error.kind == EMALLOC_ERROR_SETTING);
    CHECK(strcmp(error.text, "emalloc_heap_options.size is not set, expected sizeof(emalloc_heap_options)") == 0);
    options.debug = &debug;
    CHECK(emalloc_heap_start(&options, &error) == NULL && error.kind == EMALLOC_ERROR_SETTING);
    CHECK(strcmp(error.text, "emalloc_debug.size is not set, expected sizeof(emalloc_debug)") == 0);
    options.debug = NULL;
    options.segment_size = 3 << 20;
    CHECK(emalloc_heap_start(&options, &error) == NULL && error.kind == EMALLOC_ERROR_SETTING);
    CHECK(strstr(error.text, "must be a power of two") != NULL);
    options.segment_size = 0;
    options.storage_name = "shm";
    CHECK(emalloc_heap_start(&options, &error) == NULL && error.kind == EMALLOC_ERROR_STORAGE);
    CHECK(strncmp(error.text, "Wrong or unsupported zend_mm storage type 'shm'\n", 48) == 0);
    options.storage_name = "malloc";
    options.warm = 1;
    CHECK(emalloc_heap_start(&options, &error) == NULL && error.kind == EMALLOC_ERROR_SETTING);
    /* A struct of an older version, and one of a newer. */
    options.size = offsetof(emalloc_heap_options, storage);
    emalloc_heap_shutdown(emalloc_heap_start(&options, NULL), 1, 0);
}

static void a_server(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    int request;
    options.warm = 1;
    options.segment_size = 2 << 20;
    for (request = 0; request < 10; request++) {
        emalloc_heap *heap = emalloc_heap_start(&options, NULL);
        int i;
        for (i = 0; i < 10000; i++)
            CHECK(emalloc_heap_alloc(heap, 500) != NULL);
        emalloc_heap_shutdown(heap, 0, 0);
        CHECK(emalloc_heap_usage(heap, 1) == 2 << 20);
        emalloc_heap_shutdown(heap, 1, 0);
    }
}

int main(void)
{
    CHECK(strncmp(emalloc_version(), "0.1.", 4) == 0);
    current_is_per_thread_and_answers_the_one_before();
    blocks_of_a_given_heap();
    limits();
    a_soft_limit_is_told_once_each_time();
    figures();
    collect_and_trim();
    a_walk_meets_every_block();
    a_heap_is_not_shut_down_in_a_walk();
    options_that_cannot_be();
    a_server();
    return 0;
}
