/* Runs PHP scripts in a program of its own, with whatever allocator is loaded, and says which one that was.
 *
 * usage: run [SCRIPT...]   each in a request of its own; on standard error one line per script */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "sapi/embed/php_embed.h"
#include "emalloc_php.h"

/* The library that a function of PHP's allocator is called in. */
static const char *library(void)
{
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, "_emalloc");
    return function && dladdr(function, &info) && info.dli_fname ? info.dli_fname : "none";
}

static int run(const char *script)
{
    zend_file_handle file;
    int status = 255;
    if (php_request_startup() == FAILURE) {
        return status;
    }
    EG(exit_status) = 0;
    zend_stream_init_filename(&file, script);
    zend_first_try {
        php_execute_script(&file);
    } zend_catch {
    } zend_end_try();
    status = EG(exit_status);
    fflush(stdout);
    fprintf(stderr, "%s: status %d, usage %zu, real usage %zu, peak %zu, allocator %s\n", script, status,
        zend_memory_usage(0), zend_memory_usage(1), zend_memory_peak_usage(0), library());
    php_request_shutdown(NULL);
    return status;
}

int main(int count, char **arguments)
{
    int worst = 0;
    if (php_embed_init(count, arguments) == FAILURE) {
        return 1;
    }
    php_request_shutdown(NULL); /* the one that was started for us */
    for (int number = 1; number < count; number++) {
        int status = run(arguments[number]);
        worst = status > worst ? status : worst;
    }
    if (php_request_startup() == FAILURE) {
        return 1;
    }
    php_embed_shutdown();
    return worst;
}
