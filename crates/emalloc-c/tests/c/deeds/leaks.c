#include <emalloc.h>

static char *copy(const char *text EMALLOC_SITE_DC)
{
    return estrdup_rel(text);
}

int main(void)
{
    char *blocks[3];
    int i;
    for (i = 0; i < 3; i++)
        blocks[i] = emalloc(50);
    efree(blocks[1]);
    copy("forgotten" EMALLOC_SITE_CC);
    emalloc_shutdown(0, 0);
    emalloc(1); /* forgotten until the process ends */
    return 0;
}
