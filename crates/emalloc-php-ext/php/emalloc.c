/* Owns the module: its settings, and what is done when PHP, and each request, begins and ends. */
#ifdef HAVE_CONFIG_H
# include "config.h"
#endif
#include "php_emalloc.h"
#include "php_ini.h"
#include "ext/standard/info.h"
#include "SAPI.h"
#include "zend_extensions.h"

#include "emalloc_arginfo.h"

/* What a user would have to change at run time is unsafe to change then; Emalloc\profile_start() is for that. */
PHP_INI_BEGIN()
	PHP_INI_ENTRY("emalloc.mode", "heap", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.entry", "auto", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.storage", "", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.segment_size", "2M", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.debug", "0", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.sample", "", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.leaks", "0", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.report", "", PHP_INI_SYSTEM, NULL)
	PHP_INI_ENTRY("emalloc.profile", "", PHP_INI_SYSTEM, NULL)
PHP_INI_END()

static emalloc_mode mode = EMALLOC_OFF;
static const char *why_off = NULL;

/* Emalloc\\profile_start() was called. */
static bool profiling = false;

emalloc_text emalloc_lend(const char *start, size_t length)
{
	return (emalloc_text) { (const unsigned char *) start, length };
}

bool emalloc_profile_begin(size_t every)
{
	emalloc_ext_sample(every);
	profiling = emalloc_handlers_in();
	if (!profiling) {
		emalloc_ext_sample_as_set();
	}
	return profiling;
}

void emalloc_profile_end(void)
{
	profiling = false;
	emalloc_ext_sample_as_set();
	emalloc_handlers_rest();
}

static emalloc_text setting(const char *name, size_t length)
{
	const char *value = zend_ini_string(name, length, 0);
	return emalloc_lend(value ? value : "", value ? strlen(value) : 0);
}

static bool is_on(const char *name, size_t length)
{
	zend_string *value = zend_ini_get_value(zend_string_init_interned(name, length, true));
	return value && zend_ini_parse_bool(value);
}

static void warn(emalloc_text text)
{
	zend_error(E_CORE_WARNING, "emalloc: %.*s", (int) text.length, (const char *) text.start);
}

/* As PHP itself decides whether it has a heap at all. */
static bool is_zend_alloc_off(void)
{
	const char *value = getenv("USE_ZEND_ALLOC");
	return value && !ZEND_ATOL(value);
}

static PHP_MINIT_FUNCTION(emalloc)
{
	REGISTER_INI_ENTRIES();
	emalloc_settings settings = {
		.mode = setting(ZEND_STRL("emalloc.mode")),
		.entry = setting(ZEND_STRL("emalloc.entry")),
		.storage = setting(ZEND_STRL("emalloc.storage")),
		.segment_size = setting(ZEND_STRL("emalloc.segment_size")),
		.sample = setting(ZEND_STRL("emalloc.sample")),
		.report = setting(ZEND_STRL("emalloc.report")),
		.profile = setting(ZEND_STRL("emalloc.profile")),
		.debug = is_on(ZEND_STRL("emalloc.debug")),
		.leaks = is_on(ZEND_STRL("emalloc.leaks")),
		.warn = warn,
	};
	if (type == MODULE_TEMPORARY) {
		why_off = "the extension was loaded by dl(), in the middle of a request";
	} else if (is_zend_alloc_off()) {
		why_off = "USE_ZEND_ALLOC is 0";
	}
	if (why_off) {
		settings.mode = emalloc_lend(ZEND_STRL("off"));
	}
	emalloc_ending_start(module_number);
	mode = emalloc_memory_start(&settings);
	emalloc_take_over();
	return SUCCESS;
}

static PHP_MSHUTDOWN_FUNCTION(emalloc)
{
	emalloc_give_back();
	/* What was asked for outside of requests is freed after this. Then, and where another extension's handlers are on top
	 * and lead to ours, all stays as it is, and the heap: the extension is not unmapped (see config.m4). */
	if (emalloc_ext_finish() && emalloc_memory_end()) {
		emalloc_ext_stop();
	}
	UNREGISTER_INI_ENTRIES();
	return SUCCESS;
}

static PHP_RINIT_FUNCTION(emalloc)
{
	if (mode == EMALLOC_WATCH) {
		emalloc_handlers_in();
	} else if (mode == EMALLOC_HEAP && !emalloc_is_direct() && !emalloc_ext_reports_leaks()) {
		emalloc_end_quickly();
	}
	emalloc_ext_request_begins();
	return SUCCESS;
}

static PHP_RSHUTDOWN_FUNCTION(emalloc)
{
	bool ours = mode == EMALLOC_HEAP;
	const char *script = SG(request_info).path_translated;
	script = script ? script : "(no script)";
	emalloc_ext_script_ended(emalloc_lend(script, strlen(script)),
		ours ? emalloc_ext_usage(false, true) : zend_memory_peak_usage(false),
		ours ? emalloc_ext_usage(true, true) : zend_memory_peak_usage(true));
	if (profiling) {
		emalloc_profile_end();
	}
	emalloc_is_at_end();
	if (emalloc_ext_reports_leaks()) {
		emalloc_collect_cycles_at_end();
	} else if (!ours) {
		/* Out, so that PHP may drop the request's memory at once. */
		emalloc_handlers_out();
	}
	return SUCCESS;
}

static ZEND_MODULE_POST_ZEND_DEACTIVATE_D(emalloc)
{
	emalloc_ext_request_ended(CG(unclean_shutdown));
	return SUCCESS;
}

static void row(emalloc_text name, emalloc_text value)
{
	char shown[2][256];
	snprintf(shown[0], sizeof(shown[0]), "%.*s", (int) name.length, (const char *) name.start);
	snprintf(shown[1], sizeof(shown[1]), "%.*s", (int) value.length, (const char *) value.start);
	php_info_print_table_row(2, shown[0], shown[1]);
}

static PHP_MINFO_FUNCTION(emalloc)
{
	static const char *const modes[] = { "off", "watch: PHP's own heap, watched", "heap: requests live on our heap" };
	php_info_print_table_start();
	php_info_print_table_row(2, "Mode", modes[mode]);
	if (mode == EMALLOC_HEAP) {
		php_info_print_table_row(2, "Entry", emalloc_is_direct() ? "direct: PHP's own functions lead to it" : "handlers");
		if (!emalloc_is_direct()) {
			php_info_print_table_row(2, "Not direct because", emalloc_why_not_direct());
		}
	}
	if (why_off) {
		php_info_print_table_row(2, "Off because", why_off);
	}
	emalloc_ext_info(row);
	php_info_print_table_end();
	DISPLAY_INI_ENTRIES();
}

zend_module_entry emalloc_module_entry = {
	STANDARD_MODULE_HEADER,
	"emalloc",
	ext_functions,
	PHP_MINIT(emalloc),
	PHP_MSHUTDOWN(emalloc),
	PHP_RINIT(emalloc),
	PHP_RSHUTDOWN(emalloc),
	PHP_MINFO(emalloc),
	PHP_EMALLOC_VERSION,
	NO_MODULE_GLOBALS,
	ZEND_MODULE_POST_ZEND_DEACTIVATE_N(emalloc),
	STANDARD_MODULE_PROPERTIES_EX
};

#ifdef COMPILE_DL_EMALLOC
ZEND_GET_MODULE(emalloc)
#endif
