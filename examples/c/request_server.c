/*
 * A server in small: each request has the thread's heap for itself, within a limit. A request that wants too much is broken off
 * in the middle of whatever it does, the others do not notice, and nobody frees anything one by one.
 *
 *     cc request_server.c $(pkg-config --cflags --libs emalloc)
 */
#include <emalloc.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* Where a request is broken off to, and why. */
static jmp_buf broken_off;
static char reason[128];

static int out_of_memory(void *data, emalloc_heap *heap, const emalloc_error *error)
{
    (void)data, (void)heap;
    if (error->kind != EMALLOC_ERROR_LIMIT && error->kind != EMALLOC_ERROR_MEMORY)
        return EMALLOC_END; /* a defect, not a large request */
    snprintf(reason, sizeof reason, "%.100s", error->text);
    longjmp(broken_off, 1);
}

/* The answer to a request: its words, each `times` times. All of it lives in the current heap. */
static char *answer(const char *request, size_t times)
{
    char *text = estrdup(""), *words = estrdup(request), *word;
    size_t length = 0;
    for (word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        size_t i, more = strlen(word) + 1;
        text = safe_erealloc(text, times, more, length + 1);
        for (i = 0; i < times; i++) {
            memcpy(text + length, word, more - 1);
            text[length + more - 1] = ' ';
            length += more;
        }
        text[length] = 0;
    }
    efree(words);
    return text;
}

int main(void)
{
    static const struct {
        const char *request;
        size_t times;
    } requests[] = {{"hello world", 2}, {"everything", 1000000}, {"good bye", 1}};
    emalloc_heap_options options = EMALLOC_HEAP_OPTIONS_INIT;
    emalloc_heap *heap;
    volatile size_t i; /* read after a longjmp */

    options.warm = 1; /* segments stay warm from one request, and one heap, to the next */
    options.segment_size = 2 << 20;
    options.limit = 8 << 20;
    heap = emalloc_heap_start(&options, NULL);
    emalloc_heap_set_fatal_handler(heap, out_of_memory, NULL);
    emalloc_heap_set_current(heap);

    for (i = 0; i < sizeof requests / sizeof *requests; i++) {
        int failed = setjmp(broken_off);
        if (failed)
            printf("%s: %s\n", requests[i].request, reason);
        else
            printf("%s: %s\n", requests[i].request, answer(requests[i].request, requests[i].times));
        emalloc_shutdown(0, failed); /* the end of the request; a broken one leaves what it leaves */
    }
    emalloc_shutdown(1, 0);
    return 0;
}
