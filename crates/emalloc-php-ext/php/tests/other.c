/* An extension with memory handlers of its own, as profilers have them: they count, and hand on to whoever was there
 * before, or to PHP's heap. For chain.phpt. */
#include "php.h"

static zend_mm_heap *heap;
static void *(*prior_allocate)(size_t);
static void (*prior_free)(void *);
static void *(*prior_resize)(void *, size_t);
static zend_long calls;

static void *allocate(size_t size)
{
	calls++;
	return prior_allocate ? prior_allocate(size) : zend_mm_alloc(heap, size);
}

static void release(void *block)
{
	calls++;
	if (prior_free) {
		prior_free(block);
	} else {
		zend_mm_free(heap, block);
	}
}

static void *resize(void *block, size_t size)
{
	calls++;
	return prior_resize ? prior_resize(block, size) : zend_mm_realloc(heap, block, size);
}

static PHP_MINIT_FUNCTION(other)
{
	heap = zend_mm_get_heap();
	zend_mm_get_custom_handlers(heap, &prior_allocate, &prior_free, &prior_resize);
	zend_mm_set_custom_handlers(heap, allocate, release, resize);
	return SUCCESS;
}

static PHP_MSHUTDOWN_FUNCTION(other)
{
	void *(*now)(size_t);
	void (*now_free)(void *);
	void *(*now_resize)(void *, size_t);
	zend_mm_get_custom_handlers(heap, &now, &now_free, &now_resize);
	if (now == allocate) {
		zend_mm_set_custom_handlers(heap, prior_allocate, prior_free, prior_resize);
	} else {
		fprintf(stderr, "other: somebody took its handlers out\n");
	}
	return SUCCESS;
}

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_other_calls, 0, 0, IS_LONG, 0)
ZEND_END_ARG_INFO()

static ZEND_FUNCTION(other_calls)
{
	ZEND_PARSE_PARAMETERS_NONE();
	RETURN_LONG(calls);
}

static const zend_function_entry functions[] = { ZEND_FE(other_calls, arginfo_other_calls) ZEND_FE_END };

static zend_module_entry other_module_entry = {
	STANDARD_MODULE_HEADER, "other", functions, PHP_MINIT(other), PHP_MSHUTDOWN(other), NULL, NULL, NULL, "1",
	STANDARD_MODULE_PROPERTIES
};

ZEND_GET_MODULE(other)
