#include <emalloc.h>

int main(void)
{
    char *volatile block = emalloc(10);
    efree(block);
    block[3] = 1;
    emalloc_shutdown(0, 0);
    return 0;
}
