/* Owns the handlers' way in and out, what becomes of a refused request, and PHP's own functions on memory while our
 * handlers are in. */
#include "php_emalloc.h"
#include "SAPI.h"
#include "zend_ini.h"

static const emalloc_handlers none = { NULL, NULL, NULL };

static zend_mm_heap *original;
static emalloc_mode mode;

/* What we have put in, and what was there before. */
static emalloc_handlers installed, prior;

static bool same(emalloc_handlers a, emalloc_handlers b)
{
	return a.allocate == b.allocate && a.free == b.free && a.resize == b.resize;
}

static emalloc_handlers present(void)
{
	emalloc_handlers found;
	zend_mm_get_custom_handlers(original, &found.allocate, &found.free, &found.resize);
	return found;
}

static void put(emalloc_handlers handlers)
{
	zend_mm_set_custom_handlers(original, handlers.allocate, handlers.free, handlers.resize);
}

static bool is_ours_on_top(void)
{
	return installed.allocate != NULL && same(present(), installed);
}

/* Those who had handlers in before us. */

static void *prior_allocate(zend_mm_heap *heap, size_t size)
{
	return prior.allocate(size);
}

static void prior_free(zend_mm_heap *heap, void *block)
{
	prior.free(block);
}

static void *prior_resize(zend_mm_heap *heap, void *block, size_t size)
{
	return prior.resize(block, size);
}

static size_t prior_size(zend_mm_heap *heap, void *block)
{
	return 0;
}

/* What the library wants of us. */

/* Writes where PHP is, as its errors end. */
static void say_where(void)
{
	emalloc_frame frames[8];
	size_t depth = emalloc_frames(frames, 8, true);
	for (size_t i = 0; i < depth; i++) {
		if (frames[i].file.text.length > 0) {
			fprintf(stderr, " in %.*s on line %u\n", (int) frames[i].file.text.length,
				(const char *) frames[i].file.text.start, frames[i].line);
			return;
		}
	}
	fputs(" in Unknown on line 0\n", stderr);
}

#ifdef ZEND_HAS_OOM
/* From 8.2.35 on, the error is noted and raised at the next safe point; until then more than the limit is given, up to
 * the hard limit, if there is one. Callers that can do without get NULL. */

int emalloc_refused(const struct emalloc_php_refusal *refusal)
{
	switch (refusal->kind) {
		case EMALLOC_PHP_LIMIT:
			if (EG(delayed_oom).state == ZEND_OOM_STATE_NONE) {
				zend_mm_delayed_error_or_panic(true, "%s", refusal->text);
			}
			return refusal->fallible ? EMALLOC_PHP_NULL : EMALLOC_PHP_BEYOND;
		case EMALLOC_PHP_OVERFLOW:
			zend_mm_delayed_error_or_panic(refusal->fallible, "%s", refusal->text);
			return EMALLOC_PHP_NULL;
		case EMALLOC_PHP_HARD_LIMIT:
			fputs(refusal->text, stderr);
			say_where();
			_exit(128 + SIGKILL);
		default:
			fprintf(stderr, "%s\n", refusal->text);
			exit(1);
	}
}

static int tell(int kind, const char *text)
{
	return emalloc_refused(&(struct emalloc_php_refusal) { text, kind, zend_mm_is_fallible() });
}

/* What lies beyond the limit is still below the hard one. */
static void check_hard_limit(size_t limit, size_t size)
{
	zend_long percent = zend_ini_long(ZEND_STRL("memory_hard_limit_percent"), 0);
	double hard = (double) limit / 100 * percent;
	if (percent >= 100 && (double) emalloc_ext_usage(true, false) + size > hard) {
		char text[128];
		snprintf(text, sizeof(text), "Hard memory limit of %.0f bytes exhausted (tried to allocate %zu bytes)", hard, size);
		tell(EMALLOC_PHP_HARD_LIMIT, text);
	}
}
#else
/* Up to 8.2.34, the error is raised at once, and jumps out of the allocation. */

int emalloc_refused(const struct emalloc_php_refusal *refusal)
{
	/* While that is reported, nothing is refused. */
	static bool reporting = false;
	if (reporting && refusal->kind == EMALLOC_PHP_LIMIT) {
		return EMALLOC_PHP_BEYOND;
	}
	reporting = true;
	emalloc_ext_set_reporting(true);
	zend_try {
		zend_error_noreturn(E_ERROR, "%s", refusal->text);
	} zend_end_try();
	emalloc_ext_set_reporting(false);
	reporting = false;
	zend_bailout();
	return EMALLOC_PHP_NULL;
}

static int tell(int kind, const char *text)
{
	return emalloc_refused(&(struct emalloc_php_refusal) { text, kind, false });
}

static void check_hard_limit(size_t limit, size_t size)
{
}
#endif

/* What becomes of a request of our handlers. */
static bool refused(int kind, const char *text, size_t limit, size_t size)
{
	if (tell(kind, text) != EMALLOC_PHP_BEYOND) {
		return false;
	}
	if (kind == EMALLOC_PHP_LIMIT) {
		check_hard_limit(limit, size);
	}
	return true;
}

static void fault(emalloc_text text)
{
	fprintf(stderr, "%.*s,", (int) text.length, (const char *) text.start);
	say_where();
	abort();
}

/* What PHP frees of a request it has freed by then: see php_request_shutdown. */
static bool request_is_over(void)
{
	return !SG(sapi_started);
}

static void reset_original(void)
{
	if (is_ours_on_top()) {
		put(prior);
		shutdown_memory_manager(true, false);
		put(installed);
	}
}

static size_t limit(void)
{
	return (size_t) PG(memory_limit);
}

static void say(emalloc_text text)
{
	fwrite(text.start, 1, text.length, stderr);
}

static size_t original_usage(bool real, bool peak)
{
	return peak ? zend_memory_peak_usage(real) : zend_memory_usage(real);
}

static emalloc_host host(void)
{
	bool chain = prior.allocate != NULL;
	/* PHP's functions on a heap do not look at handlers. */
	return (emalloc_host) {
		.heap = original,
		.allocate = chain ? prior_allocate : _zend_mm_alloc,
		.free = chain ? prior_free : _zend_mm_free,
		.resize = chain ? prior_resize : _zend_mm_realloc,
		.size = chain ? prior_size : _zend_mm_block_size,
		.refused = refused,
		.fault = fault,
		.frames = emalloc_frames,
		.request_is_over = request_is_over,
		.reset_original = reset_original,
		.limit = limit,
		.say = say,
		.original_usage = original_usage,
	};
}

bool emalloc_handlers_in(void)
{
	emalloc_handlers before = present();
	if (emalloc_is_direct() && before.allocate != NULL && installed.allocate == NULL) {
		/* They came later, and so have to stay on top. */
		return false;
	}
	if (installed.allocate == NULL) {
		prior = before;
		emalloc_host needed = host();
		emalloc_ext_set_host(&needed);
	} else if (!same(before, installed)) {
		return false;
	}
	installed = emalloc_ext_handlers(mode == EMALLOC_HEAP, prior.allocate != NULL);
	put(installed);
	return true;
}

bool emalloc_handlers_out(void)
{
	if (installed.allocate == NULL) {
		return true;
	}
	if (!is_ours_on_top()) {
		return false;
	}
	put(prior);
	installed = none;
	return true;
}

void emalloc_handlers_rest(void)
{
	if (mode == EMALLOC_OFF || emalloc_is_direct()) {
		emalloc_handlers_out();
	} else {
		emalloc_handlers_in();
	}
}

emalloc_mode emalloc_memory_start(const emalloc_settings *settings)
{
	original = zend_mm_get_heap();
	prior = present();
	emalloc_host needed = host();
	mode = emalloc_ext_start(settings, &needed);
	if (mode == EMALLOC_HEAP) {
		emalloc_handlers_in();
		emalloc_direct_start(original, prior.allocate != NULL);
	}
	if (emalloc_is_direct()) {
		/* They stay in the original's heap. This one has none. */
		installed = none;
	}
	return mode;
}

bool emalloc_memory_end(void)
{
	if (!emalloc_handlers_out()) {
		return false;
	}
	if (!emalloc_is_direct()) {
		return true;
	}
	if (present().allocate != NULL || !emalloc_direct_end()) {
		return false;
	}
	put(none);
	return true;
}

/* PHP's own functions. They read the original's heap, which does not know what is in ours. */

static ZEND_FUNCTION(usage)
{
	bool real = false;
	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
		Z_PARAM_BOOL(real)
	ZEND_PARSE_PARAMETERS_END();
	RETURN_LONG(emalloc_ext_usage(real, false));
}

static ZEND_FUNCTION(peak_usage)
{
	bool real = false;
	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
		Z_PARAM_BOOL(real)
	ZEND_PARSE_PARAMETERS_END();
	RETURN_LONG(emalloc_ext_usage(real, true));
}

static ZEND_FUNCTION(reset_peak_usage)
{
	ZEND_PARSE_PARAMETERS_NONE();
	emalloc_ext_reset_peaks();
}

static ZEND_FUNCTION(collect)
{
	ZEND_PARSE_PARAMETERS_NONE();
	if (mode == EMALLOC_HEAP) {
		RETURN_LONG(emalloc_ext_collect());
	}
	bool in = is_ours_on_top();
	if (in) {
		put(prior);
	}
	size_t freed = zend_mm_gc(original);
	if (in) {
		put(installed);
	}
	RETURN_LONG(freed);
}

static struct {
	const char *name;
	zif_handler ours;
	bool heap_only;
	zif_handler theirs;
} functions[] = {
	{ "memory_get_usage", ZEND_FN(usage), true, NULL },
	{ "memory_get_peak_usage", ZEND_FN(peak_usage), true, NULL },
	{ "memory_reset_peak_usage", ZEND_FN(reset_peak_usage), true, NULL },
	{ "gc_mem_caches", ZEND_FN(collect), false, NULL },
};

static zend_function *internal_function(const char *name)
{
	zend_function *function = zend_hash_str_find_ptr(CG(function_table), name, strlen(name));
	return function && function->type == ZEND_INTERNAL_FUNCTION ? function : NULL;
}

/* memory_limit. */

static ZEND_INI_MH((*theirs_on_limit)) = NULL;

static ZEND_INI_MH(on_limit)
{
	zend_long before = PG(memory_limit);
	/* Reads the value, warns of nonsense, and keeps the original's heap and PHP's own figure in step. */
	if (theirs_on_limit(entry, new_value, mh_arg1, mh_arg2, mh_arg3, stage) == FAILURE) {
		return FAILURE;
	}
	/* At the end of a request it is set again, when the heap is empty. */
	if (!emalloc_ext_set_limit((size_t) PG(memory_limit)) && stage != ZEND_INI_STAGE_DEACTIVATE) {
		zend_error(E_WARNING, "Failed to set memory limit to %zd bytes (Current memory usage is %zd bytes)",
			(size_t) PG(memory_limit), emalloc_ext_usage(true, false));
		PG(memory_limit) = before;
		zend_set_memory_limit((size_t) before);
		return FAILURE;
	}
	return SUCCESS;
}

static zend_ini_entry *limit_entry(void)
{
	return zend_hash_str_find_ptr(EG(ini_directives), ZEND_STRL("memory_limit"));
}

void emalloc_take_over(void)
{
	if (emalloc_is_direct()) {
		return;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
		zend_function *function = internal_function(functions[i].name);
		if (function && (mode == EMALLOC_HEAP || !functions[i].heap_only)) {
			functions[i].theirs = function->internal_function.handler;
			function->internal_function.handler = functions[i].ours;
		}
	}
	zend_ini_entry *entry = limit_entry();
	if (entry && mode == EMALLOC_HEAP) {
		theirs_on_limit = entry->on_modify;
		entry->on_modify = on_limit;
	}
}

void emalloc_give_back(void)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
		zend_function *function = internal_function(functions[i].name);
		if (function && functions[i].theirs && function->internal_function.handler == functions[i].ours) {
			function->internal_function.handler = functions[i].theirs;
		}
		functions[i].theirs = NULL;
	}
	zend_ini_entry *entry = limit_entry();
	if (entry && theirs_on_limit && entry->on_modify == on_limit) {
		entry->on_modify = theirs_on_limit;
	}
}
