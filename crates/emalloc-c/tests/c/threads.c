/* Threads, each with its own heap, and with one that it was given. */
#include <emalloc.h>
#include <pthread.h>
#include <string.h>

#include "check.h"

enum { THREADS = 8, ROUNDS = 200 };

static pthread_key_t key;

/* The thread's heap is still there when other things end with the thread. */
static void ended(void *block)
{
    CHECK(strcmp(block, "of the thread") == 0);
    efree(block);
}

static void *own(void *data)
{
    emalloc_heap *heap = emalloc_heap_current();
    int round, i;
    void *blocks[100];
    (void)data;
    CHECK(emalloc_heap_usage(heap, 0) == 0);
    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < 100; i++) {
            blocks[i] = emalloc((size_t)(i * round) % 5000);
            CHECK(emalloc_heap_owns(heap, blocks[i]));
        }
        for (i = 0; i < 100; i++)
            efree(blocks[i]);
        CHECK(emalloc_heap_usage(heap, 0) == 0);
    }
    CHECK(emalloc_heap_check(heap, NULL) == 0);
    pthread_setspecific(key, estrdup("of the thread"));
    return heap;
}

static void *given(void *data)
{
    char *text = *(char **)data;
    emalloc_heap *heap = ((emalloc_heap **)data)[1];
    CHECK(emalloc_heap_set_current(heap) == NULL);
    text = erealloc(text, 1000);
    CHECK(strcmp(text, "of a heap that is handed on") == 0);
    efree(text);
    CHECK(emalloc_heap_set_current(NULL) == heap);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    emalloc_heap *heap = emalloc_heap_start(NULL, NULL);
    void *handed[2];
    int i;
    char *mine = estrdup("mine");
    CHECK(pthread_key_create(&key, ended) == 0);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, own, NULL) == 0);
    for (i = 0; i < THREADS; i++) {
        void *used;
        CHECK(pthread_join(threads[i], &used) == 0);
        CHECK(used != NULL && used != emalloc_heap_current());
    }
    handed[0] = emalloc_heap_strdup(heap, "of a heap that is handed on");
    handed[1] = heap;
    CHECK(pthread_create(&threads[0], NULL, given, handed) == 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK(emalloc_heap_usage(heap, 0) == 0);
    emalloc_heap_shutdown(heap, 1, 0);
    CHECK(strcmp(mine, "mine") == 0);
    efree(mine);
    return 0;
}
