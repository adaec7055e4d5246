/* PHP's side of a request that cannot be served: compiled against PHP's headers, linked or loaded together with the
 * library. Whatever jumps or needs PHP's structures is here.
 *
 * PHP up to 8.2.32 raises the error at once and leaves the allocation by a jump. In 8.2.36 the error waits in
 * EG(delayed_oom) until the virtual machine comes by, and memory is handed out beyond the limit until then. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zend.h"
#include "zend_globals.h"
#include "zend_alloc.h"
#include "zend_exceptions.h"
#include "zend_execute.h"
#include "emalloc_php.h"

#ifndef ZEND_HAS_OOM

static int refused(const struct emalloc_php_refusal *refusal)
{
    if (refusal->kind == EMALLOC_PHP_OVERFLOW) {
        zend_error_noreturn(E_ERROR, "%s", refusal->text);
    }
    emalloc_php_set_reporting(true);
    zend_try {
        zend_error_noreturn(E_ERROR, "%s", refusal->text);
    } zend_catch {
    } zend_end_try();
    emalloc_php_set_reporting(false);
    zend_bailout();
    exit(1);
}

#else

/* The library may be loaded into programs that are not PHP; these are then null and never looked at. */
#pragma weak executor_globals
#pragma weak zend_known_strings

/* Where in the script that is. */
static zend_string *place(uint32_t *line)
{
    zend_string *file = NULL;
    *line = 0;
    if (zend_is_executing()) {
        file = zend_get_executed_filename_ex();
        *line = zend_get_executed_lineno();
    } else if (zend_is_compiling()) {
        file = zend_get_compiled_filename();
        *line = zend_get_compiled_lineno();
    }
    return file ? file : ZSTR_KNOWN(ZEND_STR_UNKNOWN_CAPITALIZED);
}

/* Leaves the error for the virtual machine; the first one counts. The text is not taken from the heap, which is full. */
static void delay(const char *text)
{
    zend_oom_info *oom = &EG(delayed_oom);
    if (oom->state != ZEND_OOM_STATE_NONE) {
        return;
    }
    oom->filename = zend_string_copy(place(&oom->lineno));
    oom->message = zend_string_init(text, strlen(text), 1);
    oom->state = ZEND_OOM_STATE_PENDING;
    zend_atomic_bool_store_ex(&EG(vm_interrupt), true);
}

static void forget(zend_oom_info *oom)
{
    zend_string_release(oom->message);
    zend_string_release(oom->filename);
    oom->message = NULL;
    oom->filename = NULL;
}

static int refused(const struct emalloc_php_refusal *refusal)
{
    uint32_t line;
    switch (refusal->kind) {
    case EMALLOC_PHP_LIMIT:
        delay(refusal->text);
        return refusal->fallible ? EMALLOC_PHP_NULL : EMALLOC_PHP_BEYOND;
    case EMALLOC_PHP_OVERFLOW:
        if (!refusal->fallible) {
            zend_error_noreturn(E_ERROR, "%s", refusal->text);
        }
        delay(refusal->text);
        return EMALLOC_PHP_NULL;
    case EMALLOC_PHP_HARD_LIMIT: {
        const char *file = ZSTR_VAL(place(&line));
        fprintf(stderr, "%s in %s on line %u\n", refusal->text, file, line);
        _exit(137);
    }
    default:
        fprintf(stderr, "%s\n", refusal->text);
        exit(1);
    }
}

/* Raises the error that waits. The script's frames then unwind as by `exit`; where there are none PHP jumps. */
void ZEND_FASTCALL zend_handle_delayed_oom(void)
{
    zend_oom_info *oom = &EG(delayed_oom);
    zend_execute_data *frame = EG(current_execute_data);
    zend_string *message;
    if (oom->state != ZEND_OOM_STATE_PENDING) {
        return;
    }
    oom->state = ZEND_OOM_STATE_HANDLING;
    emalloc_php_set_reporting(true);
    /* Whoever keeps the message keeps it with the request's memory. */
    message = zend_string_init(ZSTR_VAL(oom->message), ZSTR_LEN(oom->message), 0);
    zend_string_release(oom->message);
    oom->message = message;
    if (frame) {
        EG(exception) = NULL;
        zend_throw_unwind_exit();
    }
    zend_try {
        zend_error_zstr_at(E_ERROR, oom->filename, oom->lineno, oom->message);
    } zend_catch {
    } zend_end_try();
    emalloc_php_set_reporting(false);
    EG(current_execute_data) = frame;
    EG(opline_before_exception) = NULL;
    forget(oom);
    oom->state = ZEND_OOM_STATE_HANDLED;
    if (!frame) {
        zend_bailout();
    }
}

void zend_mm_delayed_error_or_panic(bool later, const char *format, ...)
{
    char text[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (!later) {
        fprintf(stderr, "%s\n", text);
        abort();
    }
    delay(text);
}

#endif

__attribute__((constructor)) static void install(void)
{
    emalloc_php_set_hook(refused);
}
