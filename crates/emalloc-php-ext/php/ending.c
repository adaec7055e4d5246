/* Owns two things that PHP does with the values of a request that ends, and does not do while there are handlers.
 *
 * A quick end. PHP leaves values, functions and classes where they are and drops their memory at once. With handlers
 * in it visits and frees each, since it cannot know that our heap drops its memory, too. We do what it would do, when it
 * has closed the request's resources: the last one it closes is ours. No code of scripts runs after that.
 *
 * Or, where leaks are looked for, cycles: what they hold is no leak. PHP built for debugging collects them when the symbols
 * are gone and before what is left of the objects is freed, for no object's memory is given back after that. The object
 * with the highest number is freed first; so we let there be one, and collect when its turn comes. */
#include "php_emalloc.h"

/* The quick end. */

static int resource_type;

/* Whether the modules have heard that the request ends. */
static bool is_at_end;

/* What PHP does in zend_shutdown_executor_values and shutdown_executor if there are no handlers. */
static void leave_all(zend_resource *resource)
{
	if (!is_at_end) {
		/* Opcache drops the values of what it preloads, and keeps functions and classes. */
		return;
	}
	zend_hash_discard(&EG(symbol_table), 0);
	zend_hash_discard(EG(zend_constants), EG(persistent_constants_count));
	zend_hash_discard(EG(function_table), EG(persistent_functions_count));
	zend_hash_discard(EG(class_table), EG(persistent_classes_count));
	/* Objects that hold nothing but values; others free what they hold outside of the heap. */
	for (uint32_t handle = 1; handle < EG(objects_store).top; handle++) {
		zend_object *object = EG(objects_store).object_buckets[handle];
		if (IS_OBJ_VALID(object) && object->handlers->free_obj == zend_object_std_dtor) {
			GC_ADD_FLAGS(object, IS_OBJ_FREE_CALLED);
		}
	}
}

void emalloc_ending_start(int module_number)
{
	resource_type = zend_register_list_destructors_ex(leave_all, NULL, "emalloc", module_number);
}

void emalloc_end_quickly(void)
{
	is_at_end = false;
	/* The first one in the list is closed last. By its key, no script gets to see it. */
	zval resource;
	ZVAL_NEW_RES(&resource, 0, NULL, resource_type);
	zend_hash_str_add(&EG(regular_list), ZEND_STRL("emalloc"), &resource);
}

void emalloc_is_at_end(void)
{
	is_at_end = true;
}

/* Cycles. */

static zend_object last;
static zend_object_handlers handlers;

static void collect(zend_object *object)
{
	if (!CG(unclean_shutdown)) {
		zend_gc_collect_cycles();
	}
	zend_object_std_dtor(object);
}

void emalloc_collect_cycles_at_end(void)
{
	handlers = std_object_handlers;
	handlers.free_obj = collect;
	/* From the end of the script on, PHP gives each object a number higher than all before. */
	zend_object_std_init(&last, zend_standard_class_def);
	last.handlers = &handlers;
}
