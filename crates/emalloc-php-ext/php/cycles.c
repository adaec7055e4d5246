/* Owns the collecting of cycles at the end of a request whose leaks are looked for: what cycles hold is no leak.
 *
 * PHP built for debugging collects them when the symbols are gone and before what is left of the objects is freed, for
 * no object's memory is given back after that. There is no hook at that point; but the object with the highest number is
 * freed first. So we let there be one, and collect when its turn comes. */
#include "php_emalloc.h"

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
