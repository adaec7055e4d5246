#include <emalloc.h>

int main(void)
{
    char *volatile block = emalloc(10), *volatile other = emalloc(10);
    efree(block);
    efree(other);
    efree(block);
    return 0;
}
