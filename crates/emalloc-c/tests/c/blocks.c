/* The functions on blocks, point by point as the original documents them. */
#include <emalloc.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

static int is_zero(const unsigned char *bytes, size_t size)
{
    while (size > 0)
        if (bytes[--size] != 0)
            return 0;
    return 1;
}

static void size_zero_is_a_block_of_its_own(void)
{
    void *a = emalloc(0), *b = emalloc(0);
    CHECK(a != NULL && b != NULL && a != b);
    efree(a);
    efree(b);
    a = ecalloc(0, 8);
    CHECK(a != NULL);
    efree(a);
}

static void null_is_nothing_to_free_and_a_new_block_to_resize(void)
{
    void *block;
    efree(NULL);
    CHECK(zend_mem_block_size(NULL) == 0);
    block = erealloc(NULL, 10);
    CHECK(block != NULL && zend_mem_block_size(block) >= 10);
    block = erealloc(block, 0);
    CHECK(block != NULL);
    efree(block);
    block = erealloc_recoverable(NULL, 10);
    CHECK(block != NULL);
    efree(block);
}

static void sizes_and_alignment(void)
{
    size_t sizes[] = {1, 8, 9, 64, 100, 3072, 3073, 5000, 100000, 300000, 3000000};
    size_t i;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block = emalloc(sizes[i]);
        CHECK(zend_mem_block_size(block) >= sizes[i]);
        CHECK((uintptr_t)block % 8 == 0);
        memset(block, 0x5a, zend_mem_block_size(block));
        if (i % 2)
            efree_size(block, sizes[i]);
        else
            efree(block);
    }
    for (i = 1; i <= 1 << 20; i *= 2) {
        void *block = emalloc_alloc_aligned(i, 100);
        CHECK((uintptr_t)block % i == 0);
        efree(block);
    }
}

static void resizing_keeps_the_content(void)
{
    size_t sizes[] = {20, 30, 400, 5000, 4000, 300000, 3000000, 100, 1};
    unsigned char *block = emalloc(10);
    size_t i, j, kept = 10;
    memset(block, 7, 10);
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (kept > sizes[i])
            kept = sizes[i];
        switch (i % 3) {
        case 0: block = erealloc(block, sizes[i]); break;
        case 1: block = erealloc2(block, sizes[i], kept); break;
        default: block = safe_erealloc(block, sizes[i], 1, 0);
        }
        for (j = 0; j < kept; j++)
            CHECK(block[j] == 7);
    }
    block = erealloc2_recoverable(block, 50, 1);
    CHECK(block[0] == 7);
    efree(block);
}

static void sums_and_zeroes(void)
{
    unsigned char *block = safe_emalloc(10, 24, 16);
    CHECK(emalloc_heap_current() == NULL || zend_mem_block_size(block) >= 256);
    memset(block, 1, 256);
    efree(block);
    block = ecalloc(8, 32);
    CHECK(is_zero(block, 256));
    efree(block);
    block = ecalloc(100, 5000);
    CHECK(is_zero(block, 500000));
    efree(block);
}

static void texts(void)
{
    char *text = estrdup("hello");
    CHECK(strcmp(text, "hello") == 0);
    efree(text);
    text = estrdup("");
    CHECK(*text == 0);
    efree(text);
    text = estrndup("he\0lo", 5);
    CHECK(memcmp(text, "he\0lo", 6) == 0);
    efree(text);
}

static void persistent(int yes)
{
    char *block = pemalloc(10, yes);
    memset(block, 1, 10);
    block = perealloc(block, 100, yes);
    CHECK(block[9] == 1);
    block = safe_perealloc(block, 10, 10, 5, yes);
    block = perealloc_recoverable(block, 200, yes);
    block = perealloc2(block, 300, 10, yes);
    CHECK(block[9] == 1);
    pefree(block, yes);
    block = safe_pemalloc(2, 3, 4, yes);
    pefree(block, yes);
    block = pecalloc(10, 10, yes);
    CHECK(is_zero((unsigned char *)block, 100));
    pefree(block, yes);
    block = pestrdup("text", yes);
    CHECK(strcmp(block, "text") == 0);
    pefree(block, yes);
    block = pestrndup("text", 2, yes);
    CHECK(strcmp(block, "te") == 0);
    pefree(block, yes);
}

/* The original's names for what it has no macros of its own for. */
static void zend(void)
{
    zend_mm_heap *heap = zend_mm_startup();
    char *block = zend_mm_alloc(heap, 10);
    CHECK(is_zend_mm() && !is_zend_ptr(block) && zend_mm_block_size(heap, block) == 16);
    block = zend_mm_realloc2(heap, zend_mm_realloc(heap, block, 100), 200, 10);
    zend_mm_set_heap(heap);
    CHECK(zend_mm_get_heap() == heap && is_zend_ptr(block) && zend_memory_usage(0) >= 200);
    zend_mm_free(heap, block);
    CHECK(zend_memory_usage(0) == 0 && zend_memory_peak_usage(0) >= 200);
    zend_memory_reset_peak_usage();
    CHECK(zend_memory_peak_usage(0) == 0 && zend_set_memory_limit(1 << 20) == 0 && zend_mm_gc(heap) == 0);
    zend_mm_shutdown(heap, 1, 0);
    start_memory_manager();
    shutdown_memory_manager(1, 0);
}

static int never(void *data, const emalloc_item *item)
{
    (void)data, (void)item;
    return 1;
}

static void no_profile(void *data, const emalloc_profile *profile)
{
    (void)data, (void)profile;
    CHECK(0);
}

static void where_there_is_no_heap_its_functions_can_be_called(void)
{
    emalloc_heap *heap = emalloc_heap_current();
    emalloc_figures figures = {.size = sizeof figures, .usage = 1};
    emalloc_observer observer = {.size = sizeof observer};
    emalloc_handlers handlers = {.size = sizeof handlers};
    char name[8] = "name";
    char *text = emalloc_heap_strdup(heap, "text");
    CHECK(heap == NULL);
    text = emalloc_heap_realloc(heap, text, 1000);
    CHECK(strcmp(text, "text") == 0 && emalloc_heap_block_size(heap, text) == 0);
    emalloc_heap_free(heap, text);
    emalloc_heap_free_size(heap, emalloc_heap_alloc_aligned(heap, 64, 64), 64);
    CHECK(emalloc_heap_limit(heap) == EMALLOC_UNLIMITED);
    emalloc_heap_set_soft_limit(heap, 1, NULL, NULL);
    emalloc_heap_figures(heap, &figures);
    CHECK(figures.usage == 0 && figures.limit == EMALLOC_UNLIMITED && figures.size == sizeof figures);
    CHECK(emalloc_heap_storage_name(heap, name, sizeof name) == 0 && name[0] == 0);
    CHECK(emalloc_heap_collect(heap) == 0 && emalloc_heap_trim(heap) == 0 && emalloc_heap_check(heap, NULL) == 0);
    CHECK(emalloc_heap_walk(heap, never, NULL) == 0);
    CHECK(emalloc_heap_leaks(heap, NULL, NULL) == 0 && emalloc_heap_check_blocks(heap) == 0);
    CHECK(emalloc_heap_set_fatal_handler(heap, NULL, NULL) == NULL);
    emalloc_heap_set_report_handler(heap, NULL, NULL);
    emalloc_heap_set_leak_handler(heap, NULL, NULL);
    CHECK(emalloc_heap_set_handlers(heap, NULL) == -1 && emalloc_heap_get_handlers(heap, &handlers) == 0);
    emalloc_heap_add_observer(heap, &observer);
    CHECK(emalloc_heap_remove_observer(heap, &observer) == 0);
    CHECK(emalloc_heap_start_sampling(heap, 0) == -1 && emalloc_heap_profile(heap, no_profile, NULL) == 0);
    emalloc_heap_stop_sampling(heap);
    emalloc_heap_reset_peaks(heap);
    emalloc_heap_shutdown(heap, 1, 0);
    CHECK(emalloc_heap_set_current(heap) == NULL);
}

/* With USE_ZEND_ALLOC=0 the harness says so, and blocks have no size that is known. */
int main(int argc, char **argv)
{
    char *text;
    if (argc > 1 && strcmp(argv[1], "system") == 0) {
        CHECK(emalloc_heap_current() == NULL && !is_zend_mm() && zend_memory_usage(1) == 0);
        CHECK(zend_set_memory_limit(1) == 0 && !is_zend_ptr(argv));
        CHECK(zend_mem_block_size(text = estrdup("text")) == 0);
        text = erealloc(text, 0);
        CHECK(text != NULL);
        efree(text);
        emalloc_shutdown(0, 0);
        free(emalloc(10));
        where_there_is_no_heap_its_functions_can_be_called();
        resizing_keeps_the_content();
    } else {
        size_zero_is_a_block_of_its_own();
        null_is_nothing_to_free_and_a_new_block_to_resize();
        sizes_and_alignment();
        resizing_keeps_the_content();
        zend();
        CHECK(emalloc_heap_usage(emalloc_heap_current(), 0) == 0);
        CHECK(emalloc_heap_check(emalloc_heap_current(), NULL) == 0);
    }
    sums_and_zeroes();
    texts();
    persistent(0);
    persistent(1);
    text = zend_strndup("text", 2);
    CHECK(strcmp(text, "te") == 0);
    free(text);
    return 0;
}
