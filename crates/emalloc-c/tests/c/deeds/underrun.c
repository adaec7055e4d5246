#include <emalloc.h>

int main(void)
{
    char *block = emalloc(10);
    char *volatile before = block - 1;
    *before = 1;
    efree(block);
    return 0;
}
