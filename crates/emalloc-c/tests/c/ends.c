/* Each case is one that ends the process, unless a handler of the program decides otherwise. */
#include <emalloc.h>
#include <string.h>

#include "check.h"

static int go_on(void *data, emalloc_heap *heap, const emalloc_error *error)
{
    (void)data, (void)heap;
    printf("kind %d, line %u: %s\n", error->kind, error->site.line, error->text);
    return EMALLOC_CONTINUE;
}

static char *relayed(EMALLOC_SITE_D)
{
#line 900 "helper.c"
    return safe_emalloc_rel((size_t)-1, 2, 0);
}

static emalloc_heap *limited(void)
{
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap;
    options.limit = 1 << 20;
    heap = emalloc_heap_start(&options, NULL);
    emalloc_heap_set_current(heap);
    return heap;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc > 2)
        emalloc_set_fatal_handler(go_on, NULL);
#line 100 "ends.c"
    if (strcmp(what, "overflow") == 0) {
        CHECK(safe_emalloc((size_t)-1, 2, 1) == NULL);
    } else if (strcmp(what, "calloc") == 0) {
        CHECK(ecalloc((size_t)-1, 2) == NULL);
    } else if (strcmp(what, "realloc") == 0) {
        CHECK(safe_erealloc(emalloc(1), (size_t)-1, 2, 1) == NULL);
    } else if (strcmp(what, "strndup") == 0) {
        CHECK(estrndup("", (size_t)-1) == NULL);
    } else if (strcmp(what, "persistent") == 0) {
        CHECK(safe_pemalloc((size_t)-1, 2, 1, 1) == NULL);
    } else if (strcmp(what, "memory") == 0) {
        CHECK(pemalloc((size_t)-1 / 2, 1) == NULL);
    } else if (strcmp(what, "relayed") == 0) {
        CHECK(relayed("caller.c", 7) == NULL);
    } else if (strcmp(what, "limit") == 0) {
        limited();
        CHECK(emalloc(2 << 20) == NULL);
    } else if (strcmp(what, "resize") == 0) {
        limited();
        CHECK(erealloc(emalloc(1), 2 << 20) == NULL);
    } else if (strcmp(what, "twice") == 0) {
        void *block = emalloc(40);
        efree(block);
        efree(block);
    } else if (strcmp(what, "foreign") == 0) {
        emalloc_heap *heap = limited();
        void *block = emalloc(40);
        emalloc_heap_set_current(NULL);
        efree(block);
        CHECK(erealloc(block, 50) == NULL);
        CHECK(erealloc_recoverable(block, 50) == NULL);
        CHECK(zend_mem_block_size(block) == 0);
        emalloc_heap_free(heap, block);
    } else if (strcmp(what, "ended") == 0) {
        emalloc_heap *heap = limited(), *other;
        emalloc_heap_shutdown(heap, 1, 0);
        printf("heap %p\n", (void *)heap);
        emalloc_heap_shutdown(heap, 1, 0);
        emalloc_heap_shutdown(heap, 0, 0);
        CHECK(emalloc_heap_set_current(heap) == NULL);
        heap = limited();
        other = limited();
        CHECK(heap != other && emalloc_heap_current() == other);
    } else if (strcmp(what, "alignment") == 0) {
        CHECK(emalloc_alloc_aligned(24, 100) == NULL);
        limited();
        CHECK(emalloc_alloc_aligned(0, 100) == NULL);
    } else {
        emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
        options.storage_name = what;
        emalloc_heap_start(&options, NULL);
    }
    return 0;
}
