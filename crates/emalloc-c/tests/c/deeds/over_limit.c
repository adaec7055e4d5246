#include <emalloc.h>

int main(void)
{
    char *forgotten = emalloc(10);
    emalloc_heap_set_limit(emalloc_heap_current(), 1 << 20);
    return forgotten == emalloc(2 << 20);
}
