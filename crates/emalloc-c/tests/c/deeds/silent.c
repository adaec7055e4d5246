#include <emalloc.h>

int main(void)
{
    emalloc_heap *heap = emalloc_heap_start(NULL, NULL);
    char *block = emalloc(10);
    emalloc_shutdown(0, 1);
    block = emalloc_heap_alloc(heap, 10);
    emalloc_heap_shutdown(heap, 1, 1);
    return block == NULL;
}
