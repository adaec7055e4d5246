#include <emalloc.h>

int main(void)
{
    emalloc_heap *heap = emalloc_heap_start(NULL, NULL);
    char *block = emalloc_heap_alloc(heap, 10);
    efree(block);
    emalloc_heap_free(heap, block);
    emalloc_heap_shutdown(heap, 1, 0);
    return 0;
}
