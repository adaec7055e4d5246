#include <emalloc.h>
#include <string.h>

int main(void)
{
    char *block = emalloc(10);
    strcpy(block, "0123456789");
    efree(block);
    return 0;
}
