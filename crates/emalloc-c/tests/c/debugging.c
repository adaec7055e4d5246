/* Debug mode chosen by the program: settings, reports and leaks as data. And what samples tell. */
#include <emalloc.h>
#include <string.h>

#include "check.h"

struct told {
    int reports, answer, lines;
    size_t count, bytes;
    emalloc_report last;
    emalloc_leak leak;
};

static int tell_report(void *data, emalloc_heap *heap, const emalloc_report *report)
{
    struct told *told = data;
    CHECK(report->size == sizeof *report && heap != NULL);
    told->reports++;
    told->last = *report;
    return told->answer;
}

static void tell_leak(void *data, emalloc_heap *heap, const emalloc_leak *leak)
{
    struct told *told = data;
    CHECK(leak->size == sizeof *leak && heap != NULL);
    told->lines++;
    told->count += leak->count;
    told->bytes += leak->bytes;
    told->leak = *leak;
}

static emalloc_heap *start(struct told *told, int fill)
{
    emalloc_debug debug = EMALLOC_DEBUG_INIT;
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap;
    debug.fill = fill;
    debug.free_fill = 0x77;
    debug.script = "debugging";
    options.debug = &debug;
    heap = emalloc_heap_start(&options, NULL);
    memset(told, 0, sizeof *told);
    told->answer = 1;
    emalloc_heap_set_report_handler(heap, tell_report, told);
    emalloc_heap_set_leak_handler(heap, tell_leak, told);
    return heap;
}

static void what_was_found(void)
{
    struct told told;
    emalloc_heap *heap = start(&told, 0x33);
    unsigned char *volatile block = emalloc_heap_alloc(heap, 20), *volatile other = emalloc_heap_alloc(heap, 30);
    unsigned line = __LINE__ - 1;
    CHECK(block[0] == 0x33 && block[19] == 0x33 && emalloc_heap_block_size(heap, block) == 20);
    CHECK(emalloc_heap_check_blocks(heap) == 0 && told.reports == 0);

    block[20] = 1;
    block[21] = 1;
    CHECK(emalloc_heap_check_blocks(heap) == 1 && told.reports == 1);
    CHECK(told.last.finding == EMALLOC_FINDING_OVERRUN && told.last.distance == 2 && !told.last.at_least);
    CHECK(told.last.block == block && told.last.block_size == 20 && told.last.allocated.line == line);
    CHECK(strcmp(told.last.allocated.file, __FILE__) == 0 && told.last.freed.file == NULL);
    CHECK(told.last.site.line == __LINE__ - 4 && told.last.changed == block + 20 && told.last.changed_bytes == 2);
    CHECK(told.last.shown >= 2 && told.last.found[0] == 1 && told.last.found[1] == 1 && told.last.expected[0] != 1);
    CHECK(strstr(told.last.text, "2 byte(s) overflown") != NULL && strstr(told.last.text, "'debugging'") != NULL);

    block[-1] = 1;
    emalloc_heap_free(heap, block);
    CHECK(told.reports == 2 && told.last.finding == EMALLOC_FINDING_UNDERRUN && told.last.distance == 1);
    CHECK(block[0] == 0x77);
    block[5] = 1;
    CHECK(emalloc_heap_check_blocks(heap) == 1 && told.last.finding == EMALLOC_FINDING_WRITE_AFTER_FREE);
    CHECK(told.last.distance == 5 && told.last.freed.line == __LINE__ - 5 && told.last.address == block);
    emalloc_heap_free(heap, block);
    CHECK(told.reports == 4 && told.last.finding == EMALLOC_FINDING_POINTER && told.last.address == block);
    CHECK(told.last.freed.line == __LINE__ - 8 && told.last.changed == NULL);
    CHECK(emalloc_heap_realloc(heap, block, 100) == NULL && told.reports == 5);
    emalloc_heap_free(heap, other);
    emalloc_heap_shutdown(heap, 1, 0);
    CHECK(told.reports == 5 && told.lines == 0);
}

static void what_was_forgotten(void)
{
    struct told told;
    emalloc_heap *heap = start(&told, -1);
    unsigned line;
    void *block = NULL;
    int i;
    for (i = 0; i < 10; i++)
        block = emalloc_heap_alloc(heap, 100);
    line = __LINE__ - 1;
    emalloc_heap_free(heap, block);
    CHECK(emalloc_heap_leaks(heap, tell_leak, &told) == 9);
    CHECK(told.lines == 1 && told.count == 9 && told.bytes == 900 && told.leak.site.line == line);
    CHECK(told.leak.block_size == 100 && emalloc_heap_owns(heap, told.leak.address));
    emalloc_heap_shutdown(heap, 0, 1);
    CHECK(told.lines == 1 && emalloc_heap_usage(heap, 0) == 0);
    CHECK(emalloc_heap_alloc(heap, 5) != NULL && emalloc_heap_alloc(heap, 6) != NULL);
    emalloc_heap_shutdown(heap, 0, 0);
    CHECK(told.lines == 2 && told.count == 11 && told.bytes == 911);
    CHECK(emalloc_heap_alloc(heap, 5) != NULL);
    emalloc_heap_shutdown(heap, 1, 1);
    CHECK(told.lines == 2);
}

struct profiled {
    double live, allocated, left;
    unsigned line;
};

static void tell_profile(void *data, const emalloc_profile *profile)
{
    struct profiled *profiled = data;
    CHECK(profile->size == sizeof *profile && strcmp(profile->site.file, __FILE__) == 0);
    profiled->live += profile->live.bytes;
    profiled->allocated += profile->allocated.bytes;
    profiled->left += profile->left.bytes;
    profiled->line = profile->site.line;
}

static void what_samples_tell(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap = emalloc_heap_start(&options, NULL);
    struct profiled profiled = {0, 0, 0, 0};
    void *blocks[2];
    int i;
    CHECK(emalloc_heap_profile(heap, tell_profile, &profiled) == 0 && profiled.line == 0);
    CHECK(emalloc_heap_start_sampling(heap, 1000) == 0);
    for (i = 0; i < 20000; i++) {
        blocks[i % 2] = emalloc_heap_alloc(heap, 100);
        if (i % 2)
            emalloc_heap_free(heap, blocks[1]);
    }
    CHECK(emalloc_heap_profile(heap, tell_profile, &profiled) == 0);
    CHECK(profiled.line == __LINE__ - 5);
    /* 104 bytes each, by some two thousand samples: six standard deviations. */
    CHECK(profiled.allocated > 1800000 && profiled.allocated < 2360000);
    CHECK(profiled.live > 850000 && profiled.live < 1230000 && profiled.left == 0);
    emalloc_heap_shutdown(heap, 0, 0);
    memset(&profiled, 0, sizeof profiled);
    emalloc_heap_profile(heap, tell_profile, &profiled);
    CHECK(profiled.live == 0 && profiled.left > 850000);
    emalloc_heap_stop_sampling(heap);
    memset(&profiled, 0, sizeof profiled);
    emalloc_heap_profile(heap, tell_profile, &profiled);
    CHECK(profiled.line == 0);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void a_plain_heap_knows_nothing_of_it(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap = emalloc_heap_start(&options, NULL);
    CHECK(emalloc_heap_alloc(heap, 5) != NULL);
    CHECK(emalloc_heap_leaks(heap, NULL, NULL) == 0 && emalloc_heap_check_blocks(heap) == 0);
    emalloc_heap_shutdown(heap, 1, 0);
}

static void options_that_mean_nothing(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    const emalloc_debug good = EMALLOC_DEBUG_INIT;
    emalloc_debug debug = good;
    emalloc_error error;
    options.debug = &debug;
    debug.fill = 256;
    CHECK(emalloc_heap_start(&options, &error) == NULL && error.kind == EMALLOC_ERROR_SETTING);
    CHECK(strcmp(error.text, "debug option fill: 256 is not a byte, or -1 for none") == 0);
    debug = good;
    debug.free_fill = -2;
    CHECK(emalloc_heap_start(&options, &error) == NULL && strstr(error.text, "free_fill: -2") != NULL);
    debug = good;
    debug.on_error = 3;
    CHECK(emalloc_heap_start(&options, &error) == NULL && error.kind == EMALLOC_ERROR_SETTING);
    CHECK(strcmp(error.text, "debug option on_error: 3 is not 0, 1 or 2") == 0);
    debug = good;
    debug.leaks = -1;
    CHECK(emalloc_heap_start(&options, &error) == NULL && strstr(error.text, "leaks: -1") != NULL);
    debug = good;
    emalloc_heap_shutdown(emalloc_heap_start(&options, NULL), 1, 0);
}

int main(void)
{
    what_was_found();
    what_was_forgotten();
    a_plain_heap_knows_nothing_of_it();
    what_samples_tell();
    options_that_mean_nothing();
    return 0;
}
