#include <emalloc.h>

int main(void)
{
    char *block = emalloc(100);
    efree(block + 20);
    efree(block);
    return 0;
}
