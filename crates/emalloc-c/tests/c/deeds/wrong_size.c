#include <emalloc.h>

int main(void)
{
    char *block = emalloc(100);
    efree_size(block, 50);
    efree_size(block, 100);
    return 0;
}
