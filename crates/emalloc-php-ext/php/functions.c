/* Owns the functions of the namespace Emalloc. The library writes the arrays, through `emalloc_output`. */
#include "php_emalloc.h"
#include "zend_exceptions.h"

/* Arrays in the making, the outermost first. */
#define DEPTH 5

typedef struct {
	zval *levels[DEPTH];
	int depth;
} making;

static zval *add(making *into, emalloc_text key, zval *value)
{
	zval *level = into->levels[into->depth];
	/* The outermost begins as the empty array that all share, so that nothing is asked for before there is something. */
	SEPARATE_ARRAY(level);
	HashTable *array = Z_ARRVAL_P(level);
	if (key.length == 0) {
		return zend_hash_next_index_insert(array, value);
	}
	return zend_symtable_str_update(array, (const char *) key.start, key.length, value);
}

static void begin(void *context, emalloc_text key)
{
	making *into = context;
	zval array;
	array_init(&array);
	ZEND_ASSERT(into->depth + 1 < DEPTH);
	/* Where it lies stays true: until its end, nothing is added to the array that it lies in. */
	zval *inner = add(into, key, &array);
	into->levels[++into->depth] = inner;
}

static void end(void *context)
{
	((making *) context)->depth--;
}

static void integer(void *context, emalloc_text key, int64_t number)
{
	zval value;
	ZVAL_LONG(&value, number);
	add(context, key, &value);
}

static void real(void *context, emalloc_text key, double number)
{
	zval value;
	ZVAL_DOUBLE(&value, number);
	add(context, key, &value);
}

static void text(void *context, emalloc_text key, emalloc_text string)
{
	zval value;
	ZVAL_STRINGL(&value, (const char *) string.start, string.length);
	add(context, key, &value);
}

static void truth(void *context, emalloc_text key, int is_true)
{
	zval value;
	ZVAL_BOOL(&value, is_true);
	add(context, key, &value);
}

/* Makes `return_value` an array, to be filled. */
static emalloc_output output(making *into, zval *return_value)
{
	ZVAL_EMPTY_ARRAY(return_value);
	into->levels[0] = return_value;
	into->depth = 0;
	return (emalloc_output) { into, begin, end, integer, real, text, truth };
}

ZEND_FUNCTION(Emalloc_stats)
{
	ZEND_PARSE_PARAMETERS_NONE();
	making into;
	emalloc_output out = output(&into, return_value);
	emalloc_ext_stats(&out);
}

ZEND_FUNCTION(Emalloc_map)
{
	ZEND_PARSE_PARAMETERS_NONE();
	making into;
	emalloc_output out = output(&into, return_value);
	emalloc_ext_map(&out);
}

ZEND_FUNCTION(Emalloc_mark)
{
	ZEND_PARSE_PARAMETERS_NONE();
	RETURN_LONG(emalloc_ext_mark());
}

/* A list that is empty for want of samples is no good news. */
static void warn_without_samples(void)
{
	if (!emalloc_ext_is_sampling()) {
		zend_error(E_WARNING, "%s(): no blocks are noted: set emalloc.sample, or call Emalloc\\profile_start()",
			get_active_function_name());
	}
}

ZEND_FUNCTION(Emalloc_leaks)
{
	zend_long since = 0;
	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
		Z_PARAM_LONG(since)
	ZEND_PARSE_PARAMETERS_END();
	if (since < 0) {
		zend_argument_value_error(1, "must be greater than or equal to 0");
		RETURN_THROWS();
	}
	warn_without_samples();
	making into;
	emalloc_output out = output(&into, return_value);
	emalloc_ext_leaks(&out, since);
}

ZEND_FUNCTION(Emalloc_top)
{
	zend_string *by = NULL;
	zend_long most = 20;
	ZEND_PARSE_PARAMETERS_START(0, 2)
		Z_PARAM_OPTIONAL
		Z_PARAM_STR(by)
		Z_PARAM_LONG(most)
	ZEND_PARSE_PARAMETERS_END();
	if (most < 0) {
		zend_argument_value_error(2, "must be greater than or equal to 0");
		RETURN_THROWS();
	}
	making into;
	emalloc_output out = output(&into, return_value);
	emalloc_text figure = by ? emalloc_lend(ZSTR_VAL(by), ZSTR_LEN(by)) : emalloc_lend(ZEND_STRL("peak"));
	if (!emalloc_ext_top(&out, figure, most)) {
		zend_argument_value_error(1, "must be \"peak\", \"live\" or \"allocated\"");
		RETURN_THROWS();
	}
	warn_without_samples();
}

ZEND_FUNCTION(Emalloc_profile_start)
{
	zend_long every = 512 * 1024;
	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
		Z_PARAM_LONG(every)
	ZEND_PARSE_PARAMETERS_END();
	if (every < 1) {
		zend_argument_value_error(1, "must be greater than 0");
		RETURN_THROWS();
	}
	RETURN_BOOL(emalloc_profile_begin(every));
}

ZEND_FUNCTION(Emalloc_profile_stop)
{
	zend_string *format = NULL, *by = NULL;
	ZEND_PARSE_PARAMETERS_START(0, 2)
		Z_PARAM_OPTIONAL
		Z_PARAM_STR(format)
		Z_PARAM_STR(by)
	ZEND_PARSE_PARAMETERS_END();
	if (format && !zend_string_equals_literal(format, "pprof") && !zend_string_equals_literal(format, "collapsed")) {
		zend_argument_value_error(1, "must be \"pprof\" or \"collapsed\"");
		RETURN_THROWS();
	}
	if (!emalloc_ext_is_sampling()) {
		RETURN_FALSE;
	}
	emalloc_text profile = emalloc_ext_profile(
		format ? emalloc_lend(ZSTR_VAL(format), ZSTR_LEN(format)) : emalloc_lend(ZEND_STRL("pprof")),
		by ? emalloc_lend(ZSTR_VAL(by), ZSTR_LEN(by)) : emalloc_lend(ZEND_STRL("allocated")));
	if (profile.start == NULL) {
		zend_argument_value_error(2, "must be \"peak\", \"live\" or \"allocated\"");
		RETURN_THROWS();
	}
	emalloc_profile_end();
	RETVAL_STRINGL((const char *) profile.start, profile.length);
	emalloc_ext_drop(profile);
}
