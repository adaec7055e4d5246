/* How PHP hears of requests that cannot be served. PHP's side of it is php/hook.c. */
#ifndef EMALLOC_PHP_H
#define EMALLOC_PHP_H

#include <stdbool.h>

/* Why a request was refused. */
enum {
    EMALLOC_PHP_LIMIT = 1,      /* the memory limit stands in the way */
    EMALLOC_PHP_HARD_LIMIT = 2, /* so does the hard limit, up to which EMALLOC_PHP_BEYOND leads */
    EMALLOC_PHP_MEMORY = 3,     /* the system has no more */
    EMALLOC_PHP_OVERFLOW = 4    /* the size is more than an address can count */
};

struct emalloc_php_refusal {
    const char *text; /* the original's; lives as long as the call */
    int kind;
    bool fallible; /* the caller takes a null for an answer */
};

/* The hook's answers, if it returns. It may jump away instead: the heap is whole. */
enum {
    EMALLOC_PHP_NULL = 0,  /* a null for the caller */
    EMALLOC_PHP_BEYOND = 1 /* its memory, beyond the limit, up to the hard limit */
};

typedef int (*emalloc_php_hook)(const struct emalloc_php_refusal *refusal);

/* Registers the hook. Without one the text goes to standard error and the process ends with status 255. */
void emalloc_php_set_hook(emalloc_php_hook hook);

/* Says that PHP is reporting that the limit was reached; meanwhile no limit is enforced. */
void emalloc_php_set_reporting(bool reporting);

#endif
