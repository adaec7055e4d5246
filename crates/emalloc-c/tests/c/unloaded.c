/* A host that loads the library, closes it while a thread has a heap, and goes on. The library is the first argument. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <pthread.h>

#include "check.h"

typedef void *alloc_fn(size_t size, const char *file, unsigned line);

static alloc_fn *alloc;
static pthread_barrier_t barrier;

static void *user(void *data)
{
    CHECK(alloc(100, __FILE__, __LINE__) != NULL);
    pthread_barrier_wait(&barrier);
    /* The library is closed here. */
    pthread_barrier_wait(&barrier);
    return data;
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    pthread_t thread;
    CHECK(library != NULL);
    *(void **)&alloc = dlsym(library, "emalloc_alloc_at");
    CHECK(alloc != NULL && alloc(100, __FILE__, __LINE__) != NULL);
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, user, NULL) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(dlclose(library) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
