/* Owns the direct way into our heap, by the functions that PHP exports: where they are, and whether this process is one
 * for it. What is done to them is the library's (crates/emalloc-php-ext/src/direct.rs). */
#include "php_emalloc.h"
#include "zend_ini.h"

#include <dlfcn.h>
#if defined(__GLIBC__)
# include <link.h>
#endif

static bool is_in = false;
static char why_not[256] = "";

/* Where PHP's own code is. */
static const void *module_of(const void *address)
{
	Dl_info info;
	return dladdr(address, &info) ? info.dli_fbase : NULL;
}

static bool is_php(const void *address)
{
	/* Some function of PHP's, not on memory: nobody has put another in its place. */
	return module_of(address) == module_of((const void *) dlsym(RTLD_DEFAULT, "zend_register_list_destructors_ex"));
}

static emalloc_symbol find(emalloc_text name)
{
	emalloc_symbol symbol = { NULL, 0 };
#if defined(__GLIBC__)
	char text[64];
	Dl_info info;
	ElfW(Sym) *found;
	snprintf(text, sizeof(text), "%.*s", (int) name.length, (const char *) name.start);
	void *start = dlsym(RTLD_DEFAULT, text);
	if (start && dladdr1(start, &info, (void **) &found, RTLD_DL_SYMENT) && found && info.dli_saddr == start) {
		symbol.start = start;
		symbol.size = found->st_size;
	}
#endif
	return symbol;
}

static void note(emalloc_text text)
{
	snprintf(why_not, sizeof(why_not), "%.*s", (int) text.length, (const char *) text.start);
}

/* Whether valgrind runs the program: it keeps a copy of the code, and sees that it changes with --smc-check=all only. */
static bool is_under_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");
	return preloaded && strstr(preloaded, "vgpreload") != NULL;
}

void emalloc_direct_start(zend_mm_heap *original, bool chained)
{
	static const emalloc_code code = { find, is_php };
	bool insists = zend_string_equals_literal_ci(
		zend_ini_get_value(zend_string_init_interned(ZEND_STRL("emalloc.entry"), true)), "direct");
	if (chained) {
		note(emalloc_lend(ZEND_STRL("another extension's handlers are in")));
	} else if (is_under_valgrind() && !insists) {
		note(emalloc_lend(ZEND_STRL("valgrind runs the program")));
	} else if (zend_memory_peak_usage(true) > ZEND_MM_CHUNK_SIZE) {
		/* Whose a block is, is told by the one chunk. */
		note(emalloc_lend(ZEND_STRL("PHP has taken more than one chunk already")));
	} else {
		is_in = emalloc_ext_enter(&code, original, emalloc_refused, note);
	}
	if (!is_in) {
		if (insists) {
			zend_error(E_CORE_WARNING, "emalloc: emalloc.entry is 'direct', but it is by handlers: %s", why_not);
		}
		return;
	}
	/* What the original's heap was told before. */
	zend_set_memory_limit((size_t) PG(memory_limit));
#ifdef ZEND_HAS_OOM
	zend_set_memory_hard_limit_percent(zend_ini_long(ZEND_STRL("memory_hard_limit_percent"), 0));
#endif
}

bool emalloc_direct_end(void)
{
	if (is_in && !emalloc_ext_leave()) {
		return false;
	}
	is_in = false;
	return true;
}

bool emalloc_is_direct(void)
{
	return is_in;
}

const char *emalloc_why_not_direct(void)
{
	return why_not;
}
