#include <emalloc.h>

int main(void)
{
    char *volatile block = emalloc(4096);
    block[4096] = 1;
    return 0;
}
